//! The gateway's flags.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum, value_parser};
use unclip_service::{Error, connect, public_url, retry_once, server_url};

use crate::Stages;
use crate::cache::{CacheConfig, RedisConfig, RedisTls, redis_url};
use crate::stages::names;

/// In place of the address of a stage that the bundle does not have.
const NONE: &str = "none";

fn server_url_or_none(text: &str) -> Result<String, String> {
    if text == NONE { Ok(text.to_owned()) } else { server_url(text) }
}

/// Where the stages are.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Stages")]
pub struct StageArgs {
    /// Address of the text encoder
    #[arg(long, env = "UNCLIP_TEXT_ENCODER", value_parser = server_url, default_value = "http://127.0.0.1:50052", value_name = "URL")]
    pub text_encoder: String,
    /// Address of the image encoder; none: the bundle has no image encoder
    #[arg(long, env = "UNCLIP_IMAGE_ENCODER", value_parser = server_url_or_none, default_value = "http://127.0.0.1:50053", value_name = "URL")]
    pub image_encoder: String,
    /// Address of the prior; none: the bundle has no prior
    #[arg(long, env = "UNCLIP_PRIOR", value_parser = server_url_or_none, default_value = "http://127.0.0.1:50054", value_name = "URL")]
    pub prior: String,
    /// Address of the decoder
    #[arg(long, env = "UNCLIP_DECODER", value_parser = server_url, default_value = "http://127.0.0.1:50055", value_name = "URL")]
    pub decoder: String,
    /// Address of the upsampler
    #[arg(long, env = "UNCLIP_UPSAMPLER", value_parser = server_url, default_value = "http://127.0.0.1:50056", value_name = "URL")]
    pub upsampler: String,
}

impl StageArgs {
    /// Clients of the stages. They connect at their first call.
    ///
    /// # Errors
    /// An address that does not parse.
    pub fn stages(&self) -> Result<Stages, Error> {
        let way = |stage, flag, address| Ok::<_, Error>(retry_once(stage, connect(flag, address)?));
        let mut stages = Stages::new(
            way(names::TEXT_ENCODER, "--text-encoder", &self.text_encoder)?,
            way(names::DECODER, "--decoder", &self.decoder)?,
            way(names::UPSAMPLER, "--upsampler", &self.upsampler)?,
        );
        if self.prior != NONE {
            stages = stages.with_prior(way(names::PRIOR, "--prior", &self.prior)?);
        }
        if self.image_encoder != NONE {
            stages =
                stages.with_image_encoder(way(names::IMAGE_ENCODER, "--image-encoder", &self.image_encoder)?);
        }
        Ok(stages)
    }
}

/// How text encodings and prior results are cached.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Cache")]
pub struct CacheArgs {
    /// Size of the cache in this process, in MiB. 0: none
    #[arg(long, env = "UNCLIP_CACHE_MIB", default_value_t = 256, value_name = "MIB")]
    pub cache_mib: u64,
    /// How long an entry lives, in seconds
    #[arg(long, env = "UNCLIP_CACHE_TTL_SECONDS", default_value_t = 86_400, value_name = "SECONDS")]
    pub cache_ttl_seconds: u64,
    /// Redis that all gateways share, as redis://HOST:PORT/DB, with USER:PASSWORD@ before the host where it asks for them;
    /// rediss:// for TLS, redis-sentinel:// and redis-cluster:// with several hosts. Absent: none. A URL with credentials
    /// leaves the list of processes at once; in a shell's history it stays, so set the variable
    #[arg(long, env = "UNCLIP_REDIS", value_parser = redis_url, value_name = "URL")]
    pub redis: Option<String>,
    /// Certificates of the authorities that may sign Redis's own, in PEM format. Absent: those that the system trusts
    #[arg(long, env = "UNCLIP_REDIS_CA", value_name = "FILE")]
    pub redis_ca: Option<PathBuf>,
    /// Certificate to show to a Redis that asks for one, in PEM format
    #[arg(long, env = "UNCLIP_REDIS_CERT", value_name = "FILE")]
    pub redis_cert: Option<PathBuf>,
    /// Key of that certificate, in PEM format
    #[arg(long, env = "UNCLIP_REDIS_KEY", value_name = "FILE")]
    pub redis_key: Option<PathBuf>,
    /// How long a call to Redis may take before it counts as a miss, in milliseconds
    #[arg(long, env = "UNCLIP_REDIS_TIMEOUT_MS", default_value_t = 100, value_name = "MS")]
    pub redis_timeout_ms: u64,
    /// How long Redis is left alone after it failed, in milliseconds
    #[arg(long, env = "UNCLIP_REDIS_COOLDOWN_MS", default_value_t = 5_000, value_name = "MS")]
    pub redis_cooldown_ms: u64,
}

impl CacheArgs {
    /// A cache for one command: in this process, without Redis.
    pub fn in_memory() -> Self {
        Self {
            cache_mib: 64,
            cache_ttl_seconds: 3600,
            redis: None,
            redis_ca: None,
            redis_cert: None,
            redis_key: None,
            redis_timeout_ms: 100,
            redis_cooldown_ms: 5_000,
        }
    }

    /// The cache's configuration.
    pub fn config(&self) -> CacheConfig {
        CacheConfig {
            memory_bytes: self.cache_mib.saturating_mul(1 << 20),
            ttl: Duration::from_secs(self.cache_ttl_seconds),
            redis: self.redis.as_ref().map(|url| RedisConfig {
                url: url.clone(),
                tls: RedisTls {
                    ca: self.redis_ca.clone(),
                    cert: self.redis_cert.clone(),
                    key: self.redis_key.clone(),
                },
                timeout: Duration::from_millis(self.redis_timeout_ms),
                prefix: "unclip:".to_owned(),
                cooldown: Duration::from_millis(self.redis_cooldown_ms),
            }),
        }
    }
}

/// What holds for every request.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Requests")]
pub struct RequestArgs {
    /// Longest time for a request that brings no deadline of its own, in seconds. 0: no limit
    #[arg(long, env = "UNCLIP_DEFAULT_DEADLINE", default_value_t = 3600, value_name = "SECONDS")]
    pub default_deadline: u64,
}

impl RequestArgs {
    /// No limits, for one command: whoever waits for it can end it.
    pub fn unlimited() -> Self {
        Self { default_deadline: 0 }
    }

    /// How long a request without a deadline may take.
    pub(crate) fn default_deadline(&self) -> Option<Duration> {
        (self.default_deadline > 0).then(|| Duration::from_secs(self.default_deadline))
    }
}

/// How the gateway answers over HTTP.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "HTTP")]
pub struct HttpArgs {
    /// Address that clients reach this server at, as https://HOST/draw: for the addresses of pictures, and for the page where a
    /// proxy has it below a path. Absent: http:// and the request's Host header
    #[arg(long, env = "UNCLIP_PUBLIC_URL", value_parser = public_url, value_name = "URL")]
    pub public_url: Option<String>,
    /// Believe X-Forwarded-Proto, X-Forwarded-Host and X-Forwarded-Prefix: only for a server that nobody reaches but through a
    /// proxy that sets them. --public-url counts more
    #[arg(long, env = "UNCLIP_TRUST_PROXY")]
    pub trust_proxy: bool,
    /// Name of the model in OpenAI's API
    #[arg(long, env = "UNCLIP_MODEL_NAME", default_value = "unclip", value_name = "NAME")]
    pub model_name: String,
    /// Model names that OpenAI's API takes: `any` draws with the one model, `listed` refuses all but its name
    #[arg(long, env = "UNCLIP_OPENAI_MODELS", value_enum, default_value_t = ModelNames::Any, value_name = "any|listed")]
    pub openai_models: ModelNames,
    /// Refuse what OpenAI's API can be asked for and this model can't do, such as another size or a style, instead of resizing
    /// the picture or saying in the answer that it was ignored
    #[arg(long, env = "UNCLIP_OPENAI_STRICT")]
    pub openai_strict: bool,
    /// Memory for pictures that are fetched by their address within 60 minutes, in MiB; the oldest go first
    #[arg(long, env = "UNCLIP_PICTURES_MIB", default_value_t = 256, value_parser = value_parser!(u32).range(1..=65_536), value_name = "MIB")]
    pub pictures_mib: u32,
}

impl Default for HttpArgs {
    fn default() -> Self {
        Self {
            public_url: None,
            trust_proxy: false,
            model_name: "unclip".to_owned(),
            openai_models: ModelNames::Any,
            openai_strict: false,
            pictures_mib: 256,
        }
    }
}

/// Which model names are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ModelNames {
    /// Every name means the one model.
    Any,
    /// Names that are not listed are refused.
    Listed,
}

//! The gateway's flags.

use std::time::Duration;

use clap::{Args, ValueEnum, value_parser};
use unclip_service::{Error, connect};

use crate::Stages;
use crate::cache::{CacheConfig, RedisConfig};

/// Where the stages are.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Stages")]
pub struct StageArgs {
    /// Address of the text encoder
    #[arg(long, env = "UNCLIP_TEXT_ENCODER", default_value = "http://127.0.0.1:50052", value_name = "URL")]
    pub text_encoder: String,
    /// Address of the image encoder
    #[arg(long, env = "UNCLIP_IMAGE_ENCODER", default_value = "http://127.0.0.1:50053", value_name = "URL")]
    pub image_encoder: String,
    /// Address of the prior
    #[arg(long, env = "UNCLIP_PRIOR", default_value = "http://127.0.0.1:50054", value_name = "URL")]
    pub prior: String,
    /// Address of the decoder
    #[arg(long, env = "UNCLIP_DECODER", default_value = "http://127.0.0.1:50055", value_name = "URL")]
    pub decoder: String,
    /// Address of the upsampler
    #[arg(long, env = "UNCLIP_UPSAMPLER", default_value = "http://127.0.0.1:50056", value_name = "URL")]
    pub upsampler: String,
}

impl StageArgs {
    /// Clients of the stages. They connect at their first call.
    ///
    /// # Errors
    /// An address that does not parse.
    pub fn stages(&self) -> Result<Stages, Error> {
        Ok(Stages::new(
            connect("--text-encoder", &self.text_encoder)?,
            connect("--prior", &self.prior)?,
            connect("--decoder", &self.decoder)?,
            connect("--upsampler", &self.upsampler)?,
        )
        .with_image_encoder(connect("--image-encoder", &self.image_encoder)?))
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
    /// Redis that all gateways share, as redis://host:6379/0. Absent: none
    #[arg(long, env = "UNCLIP_REDIS", value_name = "URL")]
    pub redis: Option<String>,
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
                timeout: Duration::from_millis(self.redis_timeout_ms),
                prefix: "unclip:".to_owned(),
                cooldown: Duration::from_millis(self.redis_cooldown_ms),
            }),
        }
    }
}

/// How the gateway answers over HTTP.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "HTTP")]
pub struct HttpArgs {
    /// Address that clients reach this server at, for the addresses of pictures. Absent: http:// and the request's Host header
    #[arg(long, env = "UNCLIP_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<String>,
    /// Name of the model in OpenAI's API
    #[arg(long, env = "UNCLIP_MODEL_NAME", default_value = "unclip", value_name = "NAME")]
    pub model_name: String,
    /// Model names that OpenAI's API takes: `any` draws with the one model, `listed` refuses all but its name
    #[arg(long, env = "UNCLIP_OPENAI_MODELS", value_enum, default_value_t = ModelNames::Any, value_name = "any|listed")]
    pub openai_models: ModelNames,
    /// Memory for pictures that are fetched by their address within 60 minutes, in MiB; the oldest go first
    #[arg(long, env = "UNCLIP_PICTURES_MIB", default_value_t = 256, value_parser = value_parser!(u32).range(1..=65_536), value_name = "MIB")]
    pub pictures_mib: u32,
    /// Memory for uploads under way, in MiB; beyond it they are refused with 503
    #[arg(long, env = "UNCLIP_UPLOADS_MIB", default_value_t = 512, value_parser = value_parser!(u32).range(64..=65_536), value_name = "MIB")]
    pub uploads_mib: u32,
}

impl Default for HttpArgs {
    fn default() -> Self {
        Self {
            public_url: None,
            model_name: "unclip".to_owned(),
            openai_models: ModelNames::Any,
            pictures_mib: 256,
            uploads_mib: 512,
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

//! All of unclip as separate processes, and all of it in one.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use tokio::sync::Mutex;

use crate::{Bundle, CPU, Redis, Server};

/// Five stages and a gateway with a Redis, each a process.
pub struct Cluster {
    /// `unclip-text-encoder`.
    pub text_encoder: Server,
    /// `unclip-image-encoder`.
    pub image_encoder: Server,
    /// `unclip-prior`, without a text encoder of its own.
    pub prior: Server,
    /// `unclip-decoder`.
    pub decoder: Server,
    /// `unclip-upsampler`.
    pub upsampler: Server,
    /// `unclip-gateway`.
    pub gateway: Server,
    /// What the gateway caches in.
    pub redis: Redis,
    /// What the stages serve.
    pub bundle: Arc<Bundle>,
}

impl Cluster {
    /// Starts all on a fixture, the three diffusion stages with `flags`.
    pub async fn start(fixture: &str, flags: &[&str]) -> Self {
        let bundle = Bundle::imported(fixture);
        let path = bundle.path();
        let (text_encoder, image_encoder, prior, decoder, upsampler) = tokio::join!(
            Server::stage("unclip-text-encoder", &path, &[]),
            Server::stage("unclip-image-encoder", &path, &[]),
            Server::stage("unclip-prior", &path, flags),
            Server::stage("unclip-decoder", &path, flags),
            Server::stage("unclip-upsampler", &path, flags),
        );
        let redis = Redis::start();
        let gateway = gateway(
            [&text_encoder, &image_encoder, &prior, &decoder, &upsampler],
            &["--redis", &redis.url()],
        )
        .await;
        Self { text_encoder, image_encoder, prior, decoder, upsampler, gateway, redis, bundle }
    }

    /// A cluster in f32 that all tests of a process share while they run at the same time.
    pub async fn shared(fixture: &str) -> Arc<Self> {
        static KNOWN: Mutex<Option<HashMap<String, Weak<Cluster>>>> = Mutex::const_new(None);
        let mut known = KNOWN.lock().await;
        let known = known.get_or_insert_default();
        if let Some(cluster) = known.get(fixture).and_then(Weak::upgrade) {
            return cluster;
        }
        let cluster = Arc::new(Self::start(fixture, &CPU).await);
        known.insert(fixture.to_owned(), Arc::downgrade(&cluster));
        cluster
    }

    /// Another gateway to the same stages.
    pub async fn another_gateway(&self, flags: &[&str]) -> Server {
        gateway([&self.text_encoder, &self.image_encoder, &self.prior, &self.decoder, &self.upsampler], flags)
            .await
    }

    /// The same with another decoder.
    pub async fn gateway_to_decoder(&self, decoder: &Server, flags: &[&str]) -> Server {
        self.gateway_to_decoder_at(&decoder.url(), flags).await
    }

    /// The same with a decoder at an address where there may be none.
    pub async fn gateway_to_decoder_at(&self, url: &str, flags: &[&str]) -> Server {
        let [text_encoder, image_encoder, prior, upsampler] =
            [&self.text_encoder, &self.image_encoder, &self.prior, &self.upsampler].map(Server::url);
        gateway_at([&text_encoder, &image_encoder, &prior, url, &upsampler], flags).await
    }

    /// The same with another prior.
    pub async fn gateway_to_prior(&self, prior: &Server) -> Server {
        gateway([&self.text_encoder, &self.image_encoder, prior, &self.decoder, &self.upsampler], &[]).await
    }

    /// Every process but Redis, with the name of its service.
    pub fn servers(&self) -> [(&'static str, &Server); 6] {
        [
            ("unclip.v1.TextEncoderService", &self.text_encoder),
            ("unclip.v1.ImageEncoderService", &self.image_encoder),
            ("unclip.v1.PriorService", &self.prior),
            ("unclip.v1.DecoderService", &self.decoder),
            ("unclip.v1.UpsamplerService", &self.upsampler),
            ("unclip.v1.UnclipService", &self.gateway),
        ]
    }
}

async fn gateway(stages: [&Server; 5], flags: &[&str]) -> Server {
    let urls = stages.map(Server::url);
    gateway_at(urls.each_ref().map(String::as_str), flags).await
}

async fn gateway_at(urls: [&str; 5], flags: &[&str]) -> Server {
    let names = ["--text-encoder", "--image-encoder", "--prior", "--decoder", "--upsampler"];
    let stages: Vec<_> = names.into_iter().zip(urls).flat_map(|(name, url)| [name, url]).collect();
    Server::start("unclip-gateway", &[&stages, flags].concat()).await
}

/// All of unclip in one process: `unclip serve`.
pub struct Local {
    /// The process.
    pub server: Server,
    /// What it serves.
    pub bundle: Arc<Bundle>,
}

impl Local {
    /// Starts it on a fixture, in f32.
    pub async fn start(fixture: &str) -> Self {
        let bundle = Bundle::imported(fixture);
        let server = Server::stage("unclip serve", &bundle.path(), &CPU).await;
        Self { server, bundle }
    }
}

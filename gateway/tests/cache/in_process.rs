//! One process without Redis.

use futures::future::join_all;
use tokio::sync::oneshot::{self, error::TryRecvError};
use unclip_gateway::cache::{CacheConfig, CacheKey, Source};
use unclip_service::{Code, Error};

use crate::support::{HOUR, KIND, Metrics, Model, key, local, settle};

const ROOM: u64 = 1 << 20;

#[tokio::test]
async fn identical_requests_are_computed_once() {
    let metrics = Metrics::record();
    // Without memory there is nothing but the wait that joins them.
    let (cache, model) = (local(0), Model::default());
    let (finish, finished) = oneshot::channel::<()>();
    let slow = {
        let compute = model.compute("a cat");
        async move {
            finished.await.unwrap();
            compute.await
        }
    };
    let first = cache.get_or_compute(KIND, key("a cat"), slow);
    let others = join_all((0..50).map(|_| model.ask(&cache, "a cat")));
    let finish = async {
        settle().await;
        finish.send(()).unwrap();
    };
    let (first, others, ()) = tokio::join!(first, others, finish);
    assert_eq!(first.unwrap(), ("a cat!".to_owned(), Source::Computed));
    assert!(others.iter().all(|source| *source == Source::Joined), "{others:?}");
    assert_eq!(model.calls(), 1);
    assert_eq!((metrics.requests("computed"), metrics.requests("joined")), (1, 50));
}

#[tokio::test]
async fn when_the_first_request_goes_away_the_others_keep_its_computation() {
    let (cache, model) = (local(ROOM), Model::default());
    let (finish, finished) = oneshot::channel::<()>();
    let (started, has_started) = oneshot::channel::<()>();
    let slow = {
        let compute = model.compute("a cat");
        async move {
            started.send(()).unwrap();
            finished.await.unwrap();
            compute.await
        }
    };
    let first = tokio::spawn({
        let cache = cache.clone();
        async move { cache.get_or_compute(KIND, key("a cat"), slow).await }
    });
    has_started.await.unwrap();
    let others: Vec<_> = (0..10)
        .map(|_| {
            let (cache, model) = (cache.clone(), model.clone());
            tokio::spawn(async move { model.ask(&cache, "a cat").await })
        })
        .collect();
    settle().await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    finish.send(()).unwrap();
    for other in others {
        assert_eq!(other.await.unwrap(), Source::Joined);
    }
    assert_eq!(model.calls(), 1);
    assert_eq!(model.ask(&cache, "a cat").await, Source::Memory);
}

#[tokio::test]
async fn a_computation_that_nobody_waits_for_is_dropped() {
    let (cache, model) = (local(ROOM), Model::default());
    let (held, mut dropped) = oneshot::channel::<()>();
    let (started, has_started) = oneshot::channel::<()>();
    let endless = async move {
        let _held = held;
        started.send(()).unwrap();
        std::future::pending::<Result<(String, CacheKey), Error>>().await
    };
    let request = tokio::spawn({
        let cache = cache.clone();
        async move { cache.get_or_compute(KIND, key("a cat"), endless).await }
    });
    has_started.await.unwrap();
    request.abort();
    settle().await;
    assert_eq!(dropped.try_recv(), Err(TryRecvError::Closed));
    assert_eq!(model.ask(&cache, "a cat").await, Source::Computed);
}

#[tokio::test]
async fn an_error_reaches_all_who_wait_and_is_not_kept() {
    let metrics = Metrics::record();
    let (cache, model) = (local(ROOM), Model::default());
    let fail = || async { Err::<(String, CacheKey), _>(Error::new(Code::ResourceExhausted, "full")) };
    let requests = join_all((0..5).map(|_| cache.get_or_compute(KIND, key("a cat"), fail())));
    for result in requests.await {
        let error = result.unwrap_err();
        assert_eq!((error.code, error.message.as_str()), (Code::ResourceExhausted, "full"));
    }
    assert_eq!((metrics.requests("computed"), metrics.requests("joined")), (1, 4));
    assert_eq!(model.ask(&cache, "a cat").await, Source::Computed);
}

#[tokio::test]
async fn a_computation_that_panics_is_an_error_of_ours() {
    let cache = local(ROOM);
    let panics = async { panic!("on purpose") };
    let result = cache.get_or_compute::<String, _>(KIND, key("a cat"), panics).await;
    assert_eq!(result.unwrap_err().code, Code::Internal);
}

#[tokio::test]
async fn what_was_computed_is_remembered() {
    let metrics = Metrics::record();
    let (cache, model) = (local(ROOM), Model::default());
    assert_eq!(model.ask(&cache, "a cat").await, Source::Computed);
    assert_eq!(model.ask(&cache, "a cat").await, Source::Memory);
    assert_eq!(model.ask(&cache, "a dog").await, Source::Computed);
    assert_eq!(model.calls(), 2);
    assert_eq!((metrics.requests("computed"), metrics.requests("memory")), (2, 1));
    let other_kind = cache.get_or_compute("prior", key("a cat"), async { Ok((7_u32, key("a cat"))) }).await;
    assert_eq!(other_kind.unwrap(), (7, Source::Computed));
}

#[tokio::test]
async fn a_result_of_another_model_is_kept_under_that_models_key() {
    let (cache, model) = (local(ROOM), Model::default());
    // Asked under one key while another model answers: a roll-out that was not noticed yet.
    let answered = async { Ok(("of the new model".to_owned(), key("new"))) };
    let (answer, source) = cache.get_or_compute(KIND, key("old"), answered).await.unwrap();
    assert_eq!((answer.as_str(), source), ("of the new model", Source::Computed));
    assert_eq!(model.ask(&cache, "old").await, Source::Computed, "nothing is kept under the old key");
    let known = cache.get_or_compute::<String, _>(KIND, key("new"), async { panic!("it is known") });
    assert_eq!(known.await.unwrap(), ("of the new model".to_owned(), Source::Memory));
}

#[tokio::test]
async fn a_size_of_zero_turns_memory_off() {
    let (cache, model) = (local(0), Model::default());
    for _ in 0..3 {
        assert_eq!(model.ask(&cache, "a cat").await, Source::Computed);
    }
}

#[tokio::test]
async fn a_kind_of_two_types_is_an_error() {
    let cache = local(ROOM);
    let not_utf8 = async { Ok((vec![0xff_u8], key("a cat"))) };
    cache.get_or_compute(KIND, key("a cat"), not_utf8).await.unwrap();
    let text = cache.get_or_compute::<String, _>(KIND, key("a cat"), async { panic!("cached") });
    assert_eq!(text.await.unwrap_err().code, Code::Internal);
}

#[test]
fn a_time_to_live_out_of_bounds_is_refused() {
    for (ttl, good) in [(std::time::Duration::ZERO, false), (std::time::Duration::MAX, false), (HOUR, true)] {
        let config = CacheConfig { memory_bytes: ROOM, ttl, redis: None };
        let cache = unclip_gateway::cache::Cache::new(config);
        assert_eq!(cache.map_err(|error| error.code).err(), (!good).then_some(Code::InvalidArgument));
    }
}

//! What one request, and long runs, may occupy.

use super::rig::{Act, Rig, job};
use crate::*;

/// Job number `condition` of a request.
fn of(request: &str, condition: f32, steps: u32) -> Job<f32> {
    Job { name: request.to_owned(), ..job(condition, steps) }
}

#[tokio::test]
async fn a_one_step_request_is_done_within_a_few_forwards_behind_many_long_ones() {
    let mut rig = Rig::new(16, 64, 256).await;
    let held = rig.permit.acquire_async().await;
    // 240 rows of fifteen requests, more than there are places.
    let long: Vec<_> = (0..240_u8)
        .map(|number| of(&format!("request {}", number / 16), f32::from(number), 1000))
        .map(|job| rig.engine.submit(job).unwrap())
        .collect();
    drop(held);
    for _ in 0..8 {
        rig.forward().await;
        rig.end(Act::Answer);
    }
    rig.forward().await;
    let short = rig.engine.submit(of("short", 900.0, 1)).unwrap();
    // 48 long rows in forwards of 16: each has its turn in three, and the newcomer comes behind them.
    let mut forwards = 0;
    loop {
        rig.end(Act::Answer);
        forwards += 1;
        if rig.conditions().await.contains(&900.0) {
            break;
        }
    }
    assert!(forwards <= 4, "{forwards}");
    rig.end(Act::Answer);
    short.finish().await.unwrap();
    assert_eq!(long.len(), 240);
}

#[tokio::test]
async fn the_rest_of_a_large_request_waits_while_places_are_free() {
    let mut rig = Rig::new(2, 8, 64).await;
    let large = [0.0, 1.0, 2.0, 3.0].map(|condition| of("large", condition, 5));
    let _large = rig.submit(large).await;
    assert_eq!(rig.conditions().await, [0.0, 1.0]);
    assert_eq!((rig.engine.load().rows, rig.engine.load().queued), (2, 2));
    let _small = rig.engine.submit(of("small", 9.0, 5)).unwrap();
    rig.end(Act::Answer);
    assert_eq!(rig.conditions().await.len(), 2);
    assert_eq!((rig.engine.load().rows, rig.engine.load().queued), (3, 2), "the small one is in");
}

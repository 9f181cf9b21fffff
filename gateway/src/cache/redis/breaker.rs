//! When to leave a failing server alone. Pure: the caller says what time it is.

use std::time::{Duration, Instant};

/// Lets every call through until one fails; then none for a while, then one at a time until one succeeds.
#[derive(Debug)]
pub(super) struct Breaker {
    cooldown: Duration,
    lease: Duration,
    /// `None`: closed, calls go through.
    hold: Option<Hold>,
    /// Grows when the breaker opens or sends a probe: what calls from before report is out of date.
    epoch: u64,
}

/// No call before `wait` has passed since `since`.
#[derive(Clone, Copy, Debug)]
struct Hold {
    since: Instant,
    wait: Duration,
}

/// The right to one call, to be handed back with its result.
#[derive(Debug)]
#[must_use]
pub(super) struct Permit(u64);

impl Breaker {
    /// Closed. After a failure it holds calls back for `cooldown`; a probe whose result is not reported within `lease`
    /// counts as lost.
    pub(super) fn new(cooldown: Duration, lease: Duration) -> Self {
        Self { cooldown, lease, hold: None, epoch: 0 }
    }

    /// Whether a call may go.
    pub(super) fn admit(&mut self, now: Instant) -> Option<Permit> {
        if let Some(hold) = self.hold {
            if now.saturating_duration_since(hold.since) < hold.wait {
                return None;
            }
            self.hold_back(now, self.lease);
        }
        Some(Permit(self.epoch))
    }

    /// The call succeeded. Returns whether this closed the breaker.
    pub(super) fn succeeded(&mut self, permit: Permit) -> bool {
        permit.0 == self.epoch && self.hold.take().is_some()
    }

    /// The call failed. Returns whether this opened the breaker.
    pub(super) fn failed(&mut self, permit: Permit, now: Instant) -> bool {
        if permit.0 != self.epoch {
            return false;
        }
        let was_closed = self.hold.is_none();
        self.hold_back(now, self.cooldown);
        was_closed
    }

    fn hold_back(&mut self, now: Instant, wait: Duration) {
        self.hold = Some(Hold { since: now, wait });
        self.epoch += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COOLDOWN: Duration = Duration::from_secs(5);
    const LEASE: Duration = Duration::from_secs(1);
    const TICK: Duration = Duration::from_nanos(1);

    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::new(COOLDOWN, LEASE);
        let permit = breaker.admit(now).unwrap();
        assert!(breaker.failed(permit, now));
        breaker
    }

    #[test]
    fn a_closed_breaker_admits_all() {
        let now = Instant::now();
        let mut breaker = Breaker::new(COOLDOWN, LEASE);
        let permits = [breaker.admit(now).unwrap(), breaker.admit(now).unwrap()];
        for permit in permits {
            assert!(!breaker.succeeded(permit));
        }
        assert!(breaker.admit(now).is_some());
    }

    #[test]
    fn after_a_failure_nothing_goes_until_the_cooldown_is_over() {
        let now = Instant::now();
        let mut breaker = opened(now);
        assert!(breaker.admit(now).is_none());
        assert!(breaker.admit(now + COOLDOWN - TICK).is_none());
        assert!(breaker.admit(now + COOLDOWN).is_some());
    }

    #[test]
    fn one_probe_goes_and_its_success_closes() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let probe = breaker.admit(now + COOLDOWN).unwrap();
        assert!(breaker.admit(now + COOLDOWN).is_none());
        assert!(breaker.succeeded(probe));
        assert!(breaker.admit(now + COOLDOWN).is_some());
    }

    #[test]
    fn a_failed_probe_starts_the_cooldown_anew() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let later = now + COOLDOWN;
        let probe = breaker.admit(later).unwrap();
        assert!(!breaker.failed(probe, later + TICK), "it was open before");
        assert!(breaker.admit(later + COOLDOWN).is_none());
        assert!(breaker.admit(later + TICK + COOLDOWN).is_some());
    }

    #[test]
    fn a_lost_probe_makes_room_for_the_next() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let lost = breaker.admit(now + COOLDOWN).unwrap();
        assert!(breaker.admit(now + COOLDOWN + LEASE - TICK).is_none());
        let probe = breaker.admit(now + COOLDOWN + LEASE).unwrap();
        assert!(!breaker.succeeded(lost), "it is out of date");
        assert!(breaker.succeeded(probe));
    }

    #[test]
    fn calls_from_before_the_failure_change_nothing() {
        let now = Instant::now();
        let mut breaker = Breaker::new(COOLDOWN, LEASE);
        let [first, slow_success, slow_failure] = [(); 3].map(|()| breaker.admit(now).unwrap());
        assert!(breaker.failed(first, now));
        assert!(!breaker.succeeded(slow_success));
        assert!(!breaker.failed(slow_failure, now + COOLDOWN - TICK));
        assert!(breaker.admit(now + COOLDOWN - TICK).is_none());
        assert!(breaker.admit(now + COOLDOWN).is_some());
    }

    #[test]
    fn any_duration_will_do() {
        let now = Instant::now();
        let mut for_ever = Breaker::new(Duration::MAX, LEASE);
        let permit = for_ever.admit(now).unwrap();
        assert!(for_ever.failed(permit, now));
        assert!(for_ever.admit(now + COOLDOWN).is_none());
        let mut never = Breaker::new(Duration::ZERO, Duration::ZERO);
        let permit = never.admit(now).unwrap();
        assert!(never.failed(permit, now));
        assert!(never.admit(now).is_some());
    }
}

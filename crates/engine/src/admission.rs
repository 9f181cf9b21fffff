//! Which waiting job becomes a row next: a pure function from what is under way and what waits to a place in the line.

use std::collections::HashMap;

/// Forwards from which on a run is long.
const LONG: u32 = 100;

/// Forwards from which on a run is no short one.
const MEDIUM: u32 = 10;

/// A job, under way or waiting.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claim<'a> {
    /// The request that it is a part of.
    pub(crate) request: &'a str,
    /// The forwards that it still has to take.
    pub(crate) forwards: u32,
}

/// How the places for rows are shared out.
///
/// A row leaves when its run is over, which no newcomer can hurry. So places are left for others before they are needed:
/// one request gets a share of them, and runs that hold a place for long get not all of them. With few places (below 4,
/// and 8) there is nothing to share out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Places {
    all: usize,
    /// The most rows of one request: a quarter of all or as many as fill a forward, but at most three quarters.
    share: usize,
}

impl Places {
    /// `all` rows at most, `max_lanes` of which fill a forward.
    pub(crate) fn new(all: usize, max_lanes: usize) -> Self {
        Self { all, share: max_lanes.max(all / 4).min(all - all / 4) }
    }

    /// The most rows.
    pub(crate) fn all(self) -> usize {
        self.all
    }

    /// The most rows that have so many forwards left, or more than that class of runs has.
    fn limit(self, class: u32) -> usize {
        match class {
            LONG.. => self.all - self.all / 4,
            MEDIUM.. => self.all - self.all / 8,
            _ => self.all,
        }
    }

    /// The place in line of the job to admit, if one may be. Of the requests that may, the one with the fewest rows is
    /// next, and among equals the job that has waited longest.
    ///
    /// Nobody starves as long as rows leave. What keeps a job out is its own request's rows, or runs at least as long, never
    /// a shorter one. When enough of those have left it may come in, and of all whose request has no row it is ahead of
    /// those that came later.
    pub(crate) fn next<'a>(
        self,
        rows: impl Iterator<Item = Claim<'a>> + Clone,
        waiting: impl Iterator<Item = Claim<'a>>,
    ) -> Option<usize> {
        let mut held = HashMap::<&str, usize>::new();
        rows.clone().for_each(|row| *held.entry(row.request).or_default() += 1);
        let at_least = |class| rows.clone().filter(|row| row.forwards >= class).count();
        let has_room = [0, MEDIUM, LONG].map(|class| (class, at_least(class) < self.limit(class)));
        let fits =
            |claim: &Claim<'_>| has_room.iter().all(|(class, has_room)| claim.forwards < *class || *has_room);
        let holds = |claim: &Claim<'_>| held.get(claim.request).copied().unwrap_or_default();
        let admissible = waiting.enumerate().filter(|(_, claim)| holds(claim) < self.share && fits(claim));
        admissible.min_by_key(|(place, claim)| (holds(claim), *place)).map(|(place, _)| place)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn claim(request: &str, forwards: u32) -> Claim<'_> {
        Claim { request, forwards }
    }

    fn next(places: Places, rows: &[Claim<'_>], waiting: &[Claim<'_>]) -> Option<usize> {
        places.next(rows.iter().copied(), waiting.iter().copied())
    }

    #[test]
    fn a_share_fills_a_forward_and_leaves_places() {
        for (all, lanes, share) in
            [(64, 16, 16), (64, 4, 16), (64, 128, 48), (8, 16, 6), (4, 16, 3), (3, 16, 3), (1, 16, 1)]
        {
            assert_eq!(Places::new(all, lanes).share, share, "{all} places, {lanes} lanes");
        }
    }

    #[test]
    fn one_request_gets_no_more_than_its_share() {
        let places = Places::new(8, 2);
        let rows = [claim("a", 25); 2];
        assert_eq!(next(places, &rows[..1], &[claim("a", 25), claim("b", 25)]), Some(1), "b has none yet");
        assert_eq!(next(places, &rows[..1], &[claim("a", 25)]), Some(0));
        assert_eq!(next(places, &rows, &[claim("a", 1), claim("b", 25)]), Some(1));
        assert_eq!(next(places, &rows, &[claim("a", 1)]), None);
    }

    #[test]
    fn long_runs_leave_places_for_short_ones() {
        let places = Places::new(8, 8);
        let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let long: Vec<_> = names.iter().map(|name| claim(name, 1000)).collect();
        assert_eq!(next(places, &long[..5], &[claim("x", 1000)]), Some(0));
        assert_eq!(next(places, &long[..6], &[claim("x", 1000), claim("y", 25)]), Some(1));
        assert_eq!(next(places, &long[..7], &[claim("x", 25), claim("y", 1)]), Some(1));
        assert_eq!(next(places, &long, &[claim("x", 1)]), None, "there is no place at all");
    }

    #[test]
    fn equals_are_admitted_in_the_order_they_came() {
        let waiting = [claim("a", 25), claim("b", 1), claim("a", 25)];
        assert_eq!(next(Places::new(8, 8), &[], &waiting), Some(0));
        assert_eq!(next(Places::new(8, 8), &[], &[]), None);
    }

    #[derive(Debug, Clone, Copy)]
    struct Arrival {
        at: usize,
        request: usize,
        forwards: u32,
    }

    fn arrivals() -> impl Strategy<Value = Vec<Arrival>> {
        let forwards = prop_oneof![1..5_u32, 20..40_u32, 150..200_u32];
        let arrival = (0..300_usize, 0..4_usize, forwards);
        prop::collection::vec(
            arrival.prop_map(|(at, request, forwards)| Arrival { at, request, forwards }),
            1..60,
        )
    }

    const NAMES: [&str; 4] = ["a", "b", "c", "d"];

    proptest! {
        /// Jobs arrive at any time, and every row takes a forward at every step. The limits are kept, somebody is admitted
        /// wherever somebody may be, and in the end everybody was.
        #[test]
        fn limits_hold_and_nobody_starves(arrivals in arrivals(), all in 1..20_usize, lanes in 1..20_usize) {
            let places = Places::new(all, lanes);
            let (mut rows, mut waiting) = (Vec::<Claim<'_>>::new(), Vec::new());
            let mut step = 0;
            while step < 300 || !rows.is_empty() || !waiting.is_empty() {
                let new = arrivals.iter().filter(|arrival| arrival.at == step);
                waiting.extend(new.map(|arrival| claim(NAMES[arrival.request], arrival.forwards)));
                while let Some(place) = next(places, &rows, &waiting) {
                    rows.push(waiting.remove(place));
                }
                prop_assert!(rows.len() <= all);
                prop_assert!(!rows.is_empty() || waiting.is_empty());
                for name in NAMES {
                    prop_assert!(rows.iter().filter(|row| row.request == name).count() <= places.share);
                }
                for class in [LONG, MEDIUM] {
                    let held = rows.iter().filter(|row| row.forwards >= class).count();
                    prop_assert!(held <= places.limit(class));
                }
                rows.iter_mut().for_each(|row| row.forwards -= 1);
                rows.retain(|row| row.forwards > 0);
                step += 1;
                prop_assert!(step < 300 + 60 * 200, "{waiting:?} never came in");
            }
        }

        /// However many long runs of however many requests came first, a short run of another gets in at once.
        #[test]
        fn a_short_run_gets_in_behind_any_number_of_long_ones(
            requests in prop::collection::vec(0..4_usize, 0..200), all in 4..80_usize, lanes in 1..20_usize,
        ) {
            let places = Places::new(all, lanes);
            let (mut rows, mut waiting) = (Vec::<Claim<'_>>::new(), Vec::new());
            for request in requests {
                waiting.push(claim(NAMES[request], 1000));
                while let Some(place) = next(places, &rows, &waiting) {
                    rows.push(waiting.remove(place));
                }
            }
            waiting.push(claim("short", 1));
            prop_assert_eq!(next(places, &rows, &waiting), Some(waiting.len() - 1));
        }
    }
}

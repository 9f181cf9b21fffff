//! Which rows go next: a pure function from the rows' state to a plan.

use std::time::Instant;

/// What the planner knows of a row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowState {
    /// Names the row; later rows have higher ones.
    pub(crate) id: u64,
    /// The number of the row's last batch; for a new row, of the last batch before its admission, so that new
    /// rows come behind those that wait already.
    pub(crate) last_stepped: u64,
    /// The lanes it takes: 2 with guidance, else 1.
    pub(crate) lanes: usize,
    /// Which rows it may share a forward with.
    pub(crate) batch_key: u32,
    /// When it is too late for its next step.
    pub(crate) deadline: Option<Instant>,
    /// Whether its client has left.
    pub(crate) cancelled: bool,
}

/// The rows that have to go; their ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Leaving {
    /// Those whose client has left.
    pub(crate) cancelled: Vec<u64>,
    /// Those for whose next step it is too late.
    pub(crate) expired: Vec<u64>,
}

/// The rows that have to go before anything is planned.
pub(crate) fn leaving(rows: &[RowState], now: Instant) -> Leaving {
    let mut leaving = Leaving::default();
    for row in rows {
        if row.cancelled {
            leaving.cancelled.push(row.id);
        } else if row.deadline.is_some_and(|deadline| deadline <= now) {
            leaving.expired.push(row.id);
        }
    }
    leaving
}

/// The rows that go next, longest waiting first: round robin. The row that has waited longest goes, and with it
/// the next longest waiting rows of its batch key that `max_lanes` leaves room for. The first goes even if it
/// alone needs more.
///
/// No row starves. Those ahead of one only ever get fewer, since whoever is stepped or admitted goes to the
/// end. While it waits, each batch takes from them at least `max_lanes - 1` lanes or all of one key. So with L_k
/// lanes of key k ahead of it, its own included, it is stepped within the sum over k of
/// `ceil(L_k / max(1, max_lanes - 1))` batches.
pub(crate) fn plan(rows: &[RowState], max_lanes: usize) -> Vec<u64> {
    let mut waiting: Vec<&RowState> = rows.iter().collect();
    waiting.sort_by_key(|row| (row.last_stepped, row.id));
    let Some(head) = waiting.first() else {
        return Vec::new();
    };
    let mut free = max_lanes.saturating_sub(head.lanes);
    let mut step = vec![head.id];
    for row in waiting.iter().skip(1).filter(|row| row.batch_key == head.batch_key) {
        if let Some(left) = free.checked_sub(row.lanes) {
            free = left;
            step.push(row.id);
        }
    }
    step
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn row(id: u64, last_stepped: u64, lanes: usize, batch_key: u32) -> RowState {
        RowState { id, last_stepped, lanes, batch_key, deadline: None, cancelled: false }
    }

    #[test]
    fn no_rows_no_step() {
        assert!(plan(&[], 4).is_empty());
    }

    #[test]
    fn longest_waiting_first_then_by_admission() {
        assert_eq!(plan(&[row(0, 5, 1, 0), row(1, 3, 1, 0), row(2, 5, 1, 0)], 2), [1, 0]);
    }

    #[test]
    fn guided_rows_take_two_lanes() {
        assert_eq!(plan(&[row(0, 0, 2, 0), row(1, 0, 2, 0), row(2, 0, 1, 0)], 4), [0, 1]);
        assert_eq!(
            plan(&[row(0, 0, 2, 0), row(1, 0, 2, 0), row(2, 0, 1, 0)], 3),
            [0, 2],
            "no lane stays empty"
        );
        assert_eq!(plan(&[row(0, 0, 2, 0), row(1, 0, 1, 0)], 1), [0], "more than the limit, but alone");
    }

    #[test]
    fn only_the_heads_key_goes() {
        assert_eq!(plan(&[row(0, 1, 1, 7), row(1, 1, 1, 8), row(2, 1, 1, 7)], 8), [0, 2]);
        assert_eq!(plan(&[row(0, 2, 1, 7), row(1, 1, 1, 8), row(2, 2, 1, 7)], 8), [1]);
    }

    #[test]
    fn late_and_abandoned_rows_leave() {
        let now = Instant::now();
        let late = RowState { deadline: Some(now), ..row(0, 0, 1, 0) };
        let in_time = RowState { deadline: Some(now + Duration::from_nanos(1)), ..row(1, 0, 1, 0) };
        let abandoned = RowState { cancelled: true, ..late };
        let rows = [late, in_time, RowState { id: 2, ..abandoned }];
        assert_eq!(leaving(&rows, now), Leaving { cancelled: vec![2], expired: vec![0] });
    }

    /// The bound that [`plan`] promises, for the row `id` among `rows`.
    fn bound(rows: &BTreeMap<u64, RowState>, id: u64, max_lanes: usize) -> usize {
        let row = rows[&id];
        let mut lanes_by_key = BTreeMap::<u32, usize>::new();
        let ahead = rows.values().filter(|other| (other.last_stepped, other.id) <= (row.last_stepped, id));
        ahead.for_each(|other| *lanes_by_key.entry(other.batch_key).or_default() += other.lanes);
        lanes_by_key.values().map(|lanes| lanes.div_ceil(max_lanes.saturating_sub(1).max(1))).sum()
    }

    #[derive(Debug, Clone, Copy)]
    struct Arrival {
        batch: u64,
        lanes: usize,
        keys: [u32; 2],
    }

    fn arrivals() -> impl Strategy<Value = Vec<Arrival>> {
        let arrival = (0..20_u64, 1..=2_usize, [0..3_u32, 0..3_u32]);
        prop::collection::vec(arrival.prop_map(|(batch, lanes, keys)| Arrival { batch, lanes, keys }), 1..24)
    }

    proptest! {
        /// Rows arrive at any time, and change their key from step to step. Each is stepped within the bound,
        /// and every batch keeps to the limit and to one key.
        #[test]
        fn nobody_starves(mut arrivals in arrivals(), max_lanes in 1..9_usize) {
            arrivals.sort_by_key(|arrival| arrival.batch);
            let mut rows = BTreeMap::new();
            let mut due = BTreeMap::new();
            for batch in 1..80 {
                for (id, arrival) in (0_u64..).zip(&arrivals).filter(|(_, arrival)| arrival.batch + 1 == batch) {
                    rows.insert(id, row(id, batch - 1, arrival.lanes, arrival.keys[0]));
                    due.insert(id, batch + bound(&rows, id, max_lanes) as u64);
                }
                let states: Vec<_> = rows.values().copied().collect();
                let step = plan(&states, max_lanes);
                prop_assert_eq!(step.is_empty(), rows.is_empty());
                let lanes: usize = step.iter().map(|id| rows[id].lanes).sum();
                prop_assert!(lanes <= max_lanes || step.len() == 1);
                prop_assert!(step.windows(2).all(|pair| rows[&pair[0]].batch_key == rows[&pair[1]].batch_key));
                for id in &step {
                    let Some(row) = rows.get_mut(id) else { unreachable!() };
                    row.last_stepped = batch;
                    row.batch_key = arrivals[usize::try_from(*id)?].keys[usize::try_from(batch % 2)?];
                }
                for id in step {
                    due.insert(id, batch + 1 + bound(&rows, id, max_lanes) as u64);
                }
                for (id, due) in &due {
                    prop_assert!(batch < *due, "row {id} was due before batch {due}, now {batch}");
                }
            }
        }
    }
}

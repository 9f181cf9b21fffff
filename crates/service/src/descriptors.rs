//! File descriptors: every connection takes one.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// What a server needs besides its connections: files, libraries, stages, Redis.
const OTHERS: u64 = 256;

/// Sees to it that the process may open so many connections, as far as the operating system lets it, and gives how many it
/// may.
pub(crate) fn provide(connections: usize) -> usize {
    let wanted = connections as u64 + OTHERS;
    let Ok((current, most)) = getrlimit(Resource::RLIMIT_NOFILE) else { return connections };
    let raised = current.max(most.min(wanted));
    let descriptors = match setrlimit(Resource::RLIMIT_NOFILE, raised, most) {
        Ok(()) => raised,
        Err(_) => current,
    };
    let places = room(descriptors);
    if places < connections {
        tracing::warn!(
            connections = places,
            "the process may open fewer files than --max-connections needs; raise its limit (ulimit -n)"
        );
    }
    places.min(connections)
}

/// How many of so many descriptors are for connections.
fn room(descriptors: u64) -> usize {
    usize::try_from(descriptors.saturating_sub(OTHERS).max(descriptors / 4)).unwrap_or(usize::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn something_is_left_for_the_rest() {
        assert_eq!([1024, 340, 64, 2].map(room), [768, 85, 16, 1]);
    }
}

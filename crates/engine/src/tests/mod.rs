//! The engine against a fake denoiser, stepped by hand: a test sees a forward come in and says how it ends.

mod admission;
mod batching;
mod edits;
mod faults;
mod inversion;
mod lifecycle;
mod rig;
mod shedding;

/// Services share an engine between tasks, and move handles into streams.
#[test]
fn engines_and_handles_go_between_threads() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<crate::Engine<f32>>();
    shared::<crate::JobHandle>();
    shared::<crate::ComputePermit>();
    shared::<crate::ComputeGuard>();
}

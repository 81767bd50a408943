//! All cores at work on one list.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use super::error::MakeError;
use crate::observer::Observer;

/// Works through items on all cores. The caller's thread watches and stops.
pub(super) fn on_all_cores<T: Sync, S>(
    items: &[T],
    observer: &dyn Observer,
    start: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, &T) -> Result<(), MakeError> + Sync,
) -> Result<(), MakeError> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (done, results) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..cores.min(items.len()) {
            let (done, next, stop, start, work) = (done.clone(), &next, &stop, &start, &work);
            scope.spawn(move || {
                let mut state = start();
                while !stop.load(Ordering::Relaxed)
                    && let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let result = work(&mut state, item);
                    // Nobody listens any more once a device has failed.
                    let _ = done.send(result);
                }
            });
        }
        drop(done);
        let mut outcome = Ok(());
        for result in results {
            match result {
                Ok(()) => observer.advance(1),
                Err(error) if outcome.is_ok() => {
                    outcome = Err(error);
                    stop.store(true, Ordering::Relaxed);
                }
                Err(_) => {}
            }
            if outcome.is_ok() && observer.is_interrupted() {
                outcome = Err(MakeError::Interrupted);
                stop.store(true, Ordering::Relaxed);
            }
        }
        outcome
    })
}

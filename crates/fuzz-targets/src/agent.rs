//! The agent, with the proofs' model as its judge.

use std::cell::RefCell;

use espseal_proofs::fuzz::AgentBench;

thread_local! {
    static BENCH: RefCell<AgentBench> = RefCell::new(AgentBench::new());
}

/// Whatever the repository answers and the flash holds, an approved image runs and no other can.
pub(crate) fn agent(data: &[u8]) {
    BENCH.with_borrow_mut(|bench| bench.run(data));
}

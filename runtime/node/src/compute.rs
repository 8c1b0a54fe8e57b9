//! Work for the processor that must not keep other tasks from going on.

use std::panic::AssertUnwindSafe;

use tokio::runtime::{Handle, RuntimeFlavor};

/// Does the work while other tasks go on. Where the runtime has other threads for them it stays on this one: two hops to
/// another thread and back would be a good part of what a lone intent takes.
///
/// # Errors
/// In words, where the work panicked.
pub(crate) async fn compute<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    let broke_off = || "a computation broke off; this is a bug of lockstep".to_owned();
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::MultiThread => {
            let here = AssertUnwindSafe(|| tokio::task::block_in_place(work));
            std::panic::catch_unwind(here).map_err(|_| broke_off())
        }
        _ => tokio::task::spawn_blocking(work).await.map_err(|_| broke_off()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn does_its_work_and_survives_a_panic() {
        assert_eq!(compute(|| 6 * 7).await, Ok(42));
        assert!(compute(|| -> u8 { panic!("on purpose") }).await.is_err());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_panic_in_it_is_an_answer_where_there_are_many_threads() {
        does_its_work_and_survives_a_panic().await;
    }

    #[tokio::test]
    async fn a_panic_in_it_is_an_answer_where_there_is_one_thread() {
        does_its_work_and_survives_a_panic().await;
    }
}

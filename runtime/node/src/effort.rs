//! How much processor time the stages of the pipeline take: counted on each thread while it does a stage's work, so
//! that waiting, and what other processes do meanwhile, is not in it.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use lockstep_core::database::Pending;
use lockstep_core::engine::{CodeError, Engine, Host, Limits, Stop};
use lockstep_core::package::Package;

/// Processor time by stage, since the node was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Submissions read, their signatures and commitments checked.
    pub verify: Duration,
    /// Contracts' code, with what it asks of the host.
    pub execute: Duration,
    /// Everything else that leads to a verdict: who may, schemas, the canonical form of what was written.
    pub entitle: Duration,
    /// Salts, commitments, headers, leaves.
    pub seal: Duration,
    /// Rows, tiles and the signed head.
    pub project: Duration,
    /// Handing batches to the database, on this side of it; what its own threads do is not in it.
    pub commit: Duration,
}

impl Spent {
    /// What was spent since `before` was taken.
    #[must_use]
    pub fn since(self, before: Spent) -> Spent {
        self.each(before, Duration::saturating_sub)
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Spent) -> Spent {
        self.each(other, Duration::saturating_add)
    }

    fn each(self, other: Spent, both: impl Fn(Duration, Duration) -> Duration) -> Spent {
        Spent {
            verify: both(self.verify, other.verify),
            execute: both(self.execute, other.execute),
            entitle: both(self.entitle, other.entitle),
            seal: both(self.seal, other.seal),
            project: both(self.project, other.project),
            commit: both(self.commit, other.commit),
        }
    }
}

/// A stage's running sum, in nanoseconds.
#[derive(Debug, Default)]
pub(crate) struct Sum(AtomicU64);

/// The sums of all stages.
#[derive(Debug, Default)]
pub(crate) struct Effort {
    pub(crate) verify: Sum,
    pub(crate) execute: Sum,
    pub(crate) entitle: Sum,
    pub(crate) seal: Sum,
    pub(crate) project: Sum,
    pub(crate) commit: Sum,
}

impl Effort {
    pub(crate) fn spent(&self) -> Spent {
        Spent {
            verify: self.verify.get(),
            execute: self.execute.get(),
            entitle: self.entitle.get(),
            seal: self.seal.get(),
            project: self.project.get(),
            commit: self.commit.get(),
        }
    }
}

impl Sum {
    /// Does `work` and counts what it takes.
    pub(crate) fn of<T>(&self, work: impl FnOnce() -> T) -> T {
        let before = thread_time();
        let done = work();
        self.add(thread_time().saturating_sub(before));
        done
    }

    pub(crate) fn add(&self, took: Duration) {
        self.0.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn get(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// Processor time of this thread.
pub(crate) fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Duration::new(seconds.unwrap_or_default(), nanos.unwrap_or_default())
}

/// An engine that notes what its calls take.
pub(crate) struct Metered<'a> {
    pub(crate) engine: &'a dyn Engine,
    pub(crate) took: &'a AtomicU64,
}

impl Engine for Metered<'_> {
    fn call(
        &self,
        package: &Package,
        method: &str,
        arguments: &str,
        host: &mut dyn Host,
        limits: &Limits,
    ) -> Result<(), Stop> {
        let before = thread_time();
        let ended = self.engine.call(package, method, arguments, host, limits);
        let took = thread_time().saturating_sub(before);
        self.took.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        ended
    }

    fn check(&self, package: &Package) -> Result<(), CodeError> {
        self.engine.check(package)
    }
}

/// Work on the database whose share on this side is counted.
pub(crate) struct Counted<'a, T> {
    pub(crate) work: Pending<'a, T>,
    pub(crate) sum: &'a Sum,
}

impl<T> Future for Counted<'_, T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let sum = self.sum;
        sum.of(|| self.work.as_mut().poll(context))
    }
}

//! What was seen in each window of time, and whether it stays as it is.

use std::time::Duration;

use crate::prove::Totals;

/// So many intents fill what a node keeps: pages, statements, records, plans. Memory is judged from then on.
const WARM: u64 = 20_000;
/// Fewer windows than this after the warm-up say nothing about a slope.
const ENOUGH: usize = 8;
/// How much memory may grow over all that is judged: a twentieth, and what an allocator may keep more at one moment
/// than at another.
const GROWS_BY: u64 = 20;
const GROWS_KIB: u64 = 8 << 10;
/// More than a node needs, however short the run.
const MOST_RESIDENT_KIB: u64 = 400 << 10;
/// Latency is judged in windows of at least this: what a machine does on which others are busy is all that shorter
/// ones show. Processor time is judged in any.
const LONG: Duration = Duration::from_secs(15);
/// How much more the last third may have than the first: times, and something that does not count.
const MORE: [(u64, Duration); 3] =
    [(2, Duration::from_millis(5)), (3, Duration::from_millis(100)), (2, Duration::from_micros(200))];

/// One of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    resident_kib: u64,
    answered: u64,
    p50: Duration,
    p99: Duration,
    delivery_p99: Duration,
    /// Processor time of the node, for each answer.
    worked: Duration,
}

fn at<T: Copy + Default>(sorted: &[T], percent: usize) -> T {
    sorted.get(sorted.len() * percent / 100).or(sorted.last()).copied().unwrap_or_default()
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    at(&values, 50)
}

impl Window {
    pub(super) fn of(resident: Vec<u64>, mut took: Vec<Duration>, worked: Duration, delivery_p99: Duration) -> Window {
        took.sort_unstable();
        let worked = worked.checked_div(u32::try_from(took.len()).unwrap_or(u32::MAX)).unwrap_or_default();
        let (p50, p99, answered) = (at(&took, 50), at(&took, 99), took.len() as u64);
        Window { resident_kib: median(resident), answered, p50, p99, delivery_p99, worked }
    }

    pub(super) fn words(&self) -> String {
        let Window { resident_kib, answered, p50, p99, delivery_p99, worked } = self;
        let resident = resident_kib >> 10;
        format!(
            "{resident} MiB, {answered} answers, p50 {p50:.1?}, p99 {p99:.1?}, readers' p99 {delivery_p99:.1?}, processor {worked:.1?} each"
        )
    }
}

/// All of them.
pub(super) struct Course {
    windows: Vec<Window>,
    /// How long one is.
    each: Duration,
}

impl Course {
    pub(super) fn of(each: Duration) -> Course {
        Course { windows: Vec::new(), each }
    }

    pub(super) fn push(&mut self, window: Window) {
        self.windows.push(window);
    }

    /// After a quarter of the time, and not before all is warm.
    fn judged(&self) -> &[Window] {
        let mut answered = 0;
        let warm = self.windows.iter().take_while(|window| {
            answered += window.answered;
            answered <= WARM
        });
        let skipped = warm.count().max(self.windows.len() / 4);
        self.windows.get(skipped..).unwrap_or_default()
    }

    /// Says what is not flat, and counts what was seen.
    pub(super) fn judge(&self, rate: u64, totals: &mut Totals) {
        let answered: u64 = self.windows.iter().map(|window| window.answered).sum();
        totals.count("windows", self.windows.len() as u64);
        totals.count("answers", answered);
        let (judged, all) = (self.judged(), self.windows.as_slice());
        let highest = all.iter().map(|window| window.resident_kib).max().unwrap_or(0);
        totals.count("highest_resident_kib", highest);
        totals.must("memory_bounded", highest < MOST_RESIDENT_KIB, || format!("{highest} KiB of memory"));
        if judged.len() >= ENOUGH {
            let typical = median(judged.iter().map(|window| window.resident_kib).collect());
            let grown = growth(&judged.iter().map(|window| window.resident_kib).collect::<Vec<_>>());
            totals.count("windows_judged", judged.len() as u64);
            totals.count("typical_resident_kib", typical);
            totals.count("memory_grown_kib", grown);
            let flat = grown <= typical / GROWS_BY + GROWS_KIB;
            totals.must("memory_flat", flat, || format!("memory of {typical} KiB grew by {grown} KiB"));
        }
        self.latency(rate, totals);
    }

    fn latency(&self, rate: u64, totals: &mut Totals) {
        let third = self.windows.len() / 3;
        let first = self.windows.get(1..=third).unwrap_or_default();
        let last = self.windows.get(self.windows.len() - third..).unwrap_or_default();
        let of = |windows: &[Window], which: fn(&Window) -> Duration| {
            median(windows.iter().map(|window| u64::try_from(which(window).as_micros()).unwrap_or(u64::MAX)).collect())
        };
        let [p50, p99, work] = MORE;
        let long = self.each >= LONG;
        type Which = fn(&Window) -> Duration;
        let all: [(&str, Which, (u64, Duration), bool); 4] = [
            ("p50", |window| window.p50, p50, long),
            ("p99", |window| window.p99, p99, long),
            ("readers_p99", |window| window.delivery_p99, p99, long),
            ("processor", |window| window.worked, work, true),
        ];
        for (name, which, (times, more), judged) in all {
            let (before, after) = (of(first, which), of(last, which));
            totals.count(&format!("{name}_first_third_us"), before);
            totals.count(&format!("{name}_last_third_us"), after);
            if judged {
                let flat = u128::from(after) <= u128::from(before) * u128::from(times) + more.as_micros();
                totals.must("flat", flat, || format!("{name} was {before} µs and is {after} µs, at {rate} a second"));
            }
        }
    }
}

/// By how much values grow from the first to the last, going by the line that fits them best; 0 where they do not.
fn growth(values: &[u64]) -> u64 {
    let count = values.len() as f64;
    let middle = (count - 1.0) / 2.0;
    let mean = values.iter().map(|value| *value as f64).sum::<f64>() / count;
    let (mut over, mut under) = (0.0, 0.0);
    for (at, value) in values.iter().enumerate() {
        over += (at as f64 - middle) * (*value as f64 - mean);
        under += (at as f64 - middle).powi(2);
    }
    // Saturating by definition of `as`: what shrinks, and what has no slope, is 0.
    (over / under * (count - 1.0)).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course(resident: impl Fn(u64) -> u64, p50_ms: impl Fn(u64) -> u64) -> Vec<String> {
        let mut course = Course::of(Duration::from_secs(60));
        for number in 0..40 {
            let took = vec![Duration::from_millis(p50_ms(number)); 2000];
            course.push(Window::of(vec![resident(number)], took, Duration::from_secs(1), Duration::from_millis(20)));
        }
        let mut totals = Totals::default();
        course.judge(2000, &mut totals);
        totals.failures
    }

    #[test]
    fn what_stays_is_flat_and_what_grows_is_named() {
        let nothing: Vec<String> = Vec::new();
        assert_eq!(course(|_| 200 << 10, |_| 5), nothing);
        // Caches fill in the beginning, and no two moments are alike.
        assert_eq!(course(|at| (100 << 10) + at.min(8) * 4096 + at % 3 * 1024, |at| 5 + at % 2), nothing);
        assert_eq!(course(|at| (100 << 10) + at * 1024, |_| 5), ["memory of 128000 KiB grew by 29696 KiB"]);
        let slower = course(|_| 200 << 10, |at| 5 + at);
        assert_eq!(slower, ["p50 was 12000 µs and is 38000 µs, at 2000 a second"]);
    }

    #[test]
    fn growth_is_that_of_the_line() {
        assert_eq!(growth(&[10, 20, 30, 40]), 30);
        assert_eq!(growth(&[40, 30, 20]), 0);
        assert_eq!(growth(&[7]), 0);
    }
}

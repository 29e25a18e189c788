//! What one round measured, and the medians of several.

use std::fmt;

use super::load::viewers::Figures;

/// What one round measured. Pairs are p50 and p99 in milliseconds.
#[derive(Clone, Copy)]
pub(super) struct Round {
    pub(super) cpu_per_gbit: f64,
    mbit_per_second: f64,
    pub(super) last: (f64, f64),
    first: (f64, f64),
    start: (f64, f64),
    kib_per_viewer: f64,
    rss_mib: f64,
    /// Viewers that were disconnected.
    pub(super) lost: usize,
    /// Frames that viewers looked at did not get.
    pub(super) missed: u64,
    /// The age in milliseconds of the oldest packet that a viewer at half rate has read, and how many were disconnected.
    pub(super) half_rate: Option<(f64, usize)>,
}

impl Round {
    pub(super) fn of(figures: &Figures) -> Self {
        let gbit = figures.bytes as f64 * 8.0 / 1e9;
        Self {
            cpu_per_gbit: figures.cpu.as_secs_f64() * 1000.0 / gbit,
            mbit_per_second: figures.mbit_per_second,
            last: (figures.last.p50, figures.last.p99),
            first: (figures.first.p50, figures.first.p99),
            start: (figures.start.p50, figures.start.p99),
            kib_per_viewer: figures.kib_per_viewer,
            rss_mib: figures.rss_mib,
            lost: figures.lost,
            missed: figures.missed,
            half_rate: figures.half_rate,
        }
    }

    /// Of each figure by itself; of what should not be, the sum or the worst.
    pub(super) fn median(rounds: &[Self]) -> Self {
        let of = |figure: fn(&Self) -> f64| {
            let mut values: Vec<f64> = rounds.iter().map(figure).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        let half_rate = rounds.iter().filter_map(|r| r.half_rate);
        Self {
            cpu_per_gbit: of(|r| r.cpu_per_gbit),
            mbit_per_second: of(|r| r.mbit_per_second),
            last: (of(|r| r.last.0), of(|r| r.last.1)),
            first: (of(|r| r.first.0), of(|r| r.first.1)),
            start: (of(|r| r.start.0), of(|r| r.start.1)),
            kib_per_viewer: of(|r| r.kib_per_viewer),
            rss_mib: of(|r| r.rss_mib),
            lost: rounds.iter().map(|r| r.lost).sum(),
            missed: rounds.iter().map(|r| r.missed).sum(),
            half_rate: half_rate.reduce(|one, other| (one.0.max(other.0), one.1 + other.1)),
        }
    }

    /// The heads of the columns.
    pub(super) fn heads() -> String {
        format!(
            "{:>11} {:>8} {:>15} {:>15} {:>15} {:>10} {:>8}",
            "ms CPU/Gbit",
            "Mbit/s",
            "last p50/p99 ms",
            "first p50/p99",
            "start p50/p99",
            "KiB/viewer",
            "RSS MiB"
        )
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pair = |(p50, p99): (f64, f64)| format!("{p50:.2} / {p99:.2}");
        write!(
            f,
            "{:11.1} {:8.1} {:>15} {:>15} {:>15} {:10.1} {:8.1}",
            self.cpu_per_gbit,
            self.mbit_per_second,
            pair(self.last),
            pair(self.first),
            pair(self.start),
            self.kib_per_viewer,
            self.rss_mib
        )?;
        if self.lost > 0 {
            write!(f, "; {} viewers were disconnected", self.lost)?;
        }
        if self.missed > 0 {
            write!(f, "; {} frames were missed", self.missed)?;
        }
        if let Some((oldest, lost)) = self.half_rate {
            write!(f, "; half rate: packets up to {oldest:.0} ms old, {lost} disconnected")?;
        }
        Ok(())
    }
}

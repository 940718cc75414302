//! What a process holds and uses, on Linux, and what many figures come to.

use std::{fs, time::Duration};

/// Linux counts processor time for user space in hundredths of a second, on every machine that Rust's standard library
/// is built for.
const TICK: Duration = Duration::from_millis(10);

/// Returns how much memory a process holds, in MB (a million bytes), where the system tells.
pub fn resident_mb(process: u32) -> Option<f64> {
    memory_mb(process, "VmRSS:")
}

/// Returns how much memory a process has held at most since it began, in MB, where the system tells.
pub fn most_resident_mb(process: u32) -> Option<f64> {
    memory_mb(process, "VmHWM:")
}

fn memory_mb(process: u32, what: &str) -> Option<f64> {
    // "VmRSS:     12345 kB"
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix(what)?.trim().strip_suffix(" kB"))?;
    Some(resident.parse::<f64>().ok()? * 1024.0 / 1e6)
}

/// The processor time that a process uses from now on.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    process: u32,
    before: Duration,
}

impl Usage {
    /// Begins to count, where the system tells.
    pub fn of(process: u32) -> Option<Self> {
        Some(Self { process, before: total(process)? })
    }

    /// Returns what was used since; `None` for a process that has ended.
    pub fn so_far(&self) -> Option<Duration> {
        Some(total(self.process)?.saturating_sub(self.before))
    }
}

fn total(process: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // "pid (name) state …", and the name may hold spaces and brackets. The 14th and 15th fields are the process's own.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field - 3)?.parse::<u32>().ok();
    Some(TICK * (ticks(14)? + ticks(15)?))
}

/// Returns what that many percent of the values are below of; `None` if there is no value.
pub fn percentile(took: &mut [Duration], percent: usize) -> Option<Duration> {
    took.sort_unstable();
    took.get(took.len() * percent / 100).copied()
}

/// Returns the middle one of some values; `None` if there is none.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

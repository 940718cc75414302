//! What a process holds and uses, on Linux.

use std::{fs, time::Duration};

/// Linux counts processor time for user space in hundredths of a second, on every machine that Rust's standard library
/// is built for.
const TICK: Duration = Duration::from_millis(10);

/// Prints how much memory a process holds, in MB (a million bytes), where the system tells.
pub(crate) fn show(name: &str, process: u32) {
    match resident_mb(process) {
        Some(mb) => println!("figure {name}_mb {mb:.1}"),
        None => println!("figure {name}_mb unknown: this system has no /proc/PID/status"),
    }
}

/// Returns how much memory a process holds, in MB.
pub(crate) fn resident_mb(process: u32) -> Option<f64> {
    // "VmRSS:     12345 kB"
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"))?;
    Some(resident.parse::<f64>().ok()? * 1024.0 / 1e6)
}

/// The processor time that a process uses from now on.
pub(crate) struct Usage {
    process: u32,
    before: Duration,
}

impl Usage {
    pub(crate) fn of(process: u32) -> Self {
        Self { process, before: total(process) }
    }

    pub(crate) fn so_far(&self) -> Duration {
        total(self.process).saturating_sub(self.before)
    }
}

fn total(process: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // "pid (name) state …", and the name may hold spaces and brackets. The 14th and 15th fields are the process's own.
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks = |field: usize| fields[field - 3].parse::<u32>().unwrap();
    TICK * (ticks(14) + ticks(15))
}

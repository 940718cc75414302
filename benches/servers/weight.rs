//! How much memory a process holds.

/// Prints it, in MB (a million bytes), where the system tells.
pub(crate) fn show(name: &str, process: u32) {
    // "VmRSS:     12345 kB"
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let resident =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    match resident {
        Some(kib) => println!("figure {name}_mb {:.1}", kib * 1024.0 / 1e6),
        None => println!("figure {name}_mb unknown: this system has no /proc/PID/status"),
    }
}

//! Sizes and times as people read them.

use chrono::{DateTime, Local, TimeZone};

use crate::api::files::Progress;

/// Writes a size: `512 B`, `1.2 MB`.
pub(crate) fn size(bytes: u64) -> String {
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1000.0;
    let mut unit = "kB";
    for larger in ["MB", "GB", "TB", "PB"] {
        // What would be rounded to 1000.0 belongs to the next unit.
        if value < 999.95 {
            break;
        }
        value /= 1000.0;
        unit = larger;
    }
    format!("{value:.1} {unit}")
}

/// Writes how far something has come: `3.1 MB of 12.0 MB, 1.4 MB/s, 0:06 left, direct`.
pub(crate) fn progress(at: &Progress) -> String {
    let mut text = format!("{} of {}", size(at.done_bytes), size(at.total_bytes));
    if let Some(rate) = at.bytes_per_s {
        text.push_str(&format!(", {}/s", size(rate)));
    }
    if let Some(seconds) = at.remaining_s.filter(|_| at.done_bytes < at.total_bytes) {
        text.push_str(&format!(", {} left", duration(seconds)));
    }
    if let Some(over) = &at.over {
        text.push_str(if over == "relay" { ", through a relay" } else { ", direct" });
    }
    text
}

/// Writes a time that passes: `0:06`, `1:02:03`.
fn duration(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// Writes a moment in the reader's zone: `14:03` today, with the date on other days.
pub(crate) fn time(unix_ms: u64) -> String {
    time_as_of(unix_ms, &Local::now())
}

fn time_as_of<Zone: TimeZone>(unix_ms: u64, now: &DateTime<Zone>) -> String
where
    Zone::Offset: std::fmt::Display,
{
    let moment = i64::try_from(unix_ms).ok().and_then(|ms| now.timezone().timestamp_millis_opt(ms).single());
    match moment {
        Some(moment) if moment.date_naive() == now.date_naive() => moment.format("%H:%M").to_string(),
        Some(moment) => moment.format("%Y-%m-%d %H:%M").to_string(),
        // A peer may claim any moment.
        None => "??:??".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use chrono::FixedOffset;

    use super::*;

    #[test]
    fn sizes_are_short() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (1_060, "1.1 kB"),
            (1_234_567, "1.2 MB"),
            (999_949, "999.9 kB"),
            (999_999, "1.0 MB"),
            (4 << 20, "4.2 MB"),
            (u64::MAX, "18446.7 PB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn progress_says_what_is_known() {
        let mut at = Progress { done_bytes: 1_000, total_bytes: 5_000, ..Progress::default() };
        assert_eq!(progress(&at), "1.0 kB of 5.0 kB");
        at.bytes_per_s = Some(1_000);
        at.remaining_s = Some(3_724);
        at.over = Some("relay".to_owned());
        assert_eq!(progress(&at), "1.0 kB of 5.0 kB, 1.0 kB/s, 1:02:04 left, through a relay");
    }

    #[test]
    fn times_are_in_the_readers_zone() {
        let zone = FixedOffset::east_opt(2 * 3600).unwrap();
        let now = zone.with_ymd_and_hms(2026, 11, 23, 0, 30, 0).unwrap();
        // 22:05 UTC is five past midnight there.
        let today = u64::try_from(zone.with_ymd_and_hms(2026, 11, 23, 0, 5, 0).unwrap().timestamp_millis()).unwrap();
        assert_eq!(time_as_of(today, &now), "00:05");
        assert_eq!(time_as_of(today - 600_000, &now), "2026-11-22 23:55");
        assert_eq!(time_as_of(u64::MAX, &now), "??:??");
        assert_eq!(time_as_of(i64::MAX as u64, &now), "??:??");
    }
}

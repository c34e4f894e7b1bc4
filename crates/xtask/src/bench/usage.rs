//! What processes have used: time on a processor, bytes written, memory, and how often their threads were switched.

use crate::shell::{Result, target};
use rustix::fs::{major, minor};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

/// Of some processes together, since they began.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    pub cpu: Duration,
    /// Bytes that were written to the device on which everything measured lies; nothing where it does not say.
    pub written: Option<u64>,
    pub switches: u64,
    pub resident_kib: u64,
}

/// What is one tick of the system's clocks.
const TICK: Duration = Duration::from_millis(10);

pub fn of(processes: &[u32]) -> Result<Usage> {
    let mut sum = Usage { written: device_written().ok(), ..Usage::default() };
    for process in processes {
        let folder = format!("/proc/{process}");
        sum.cpu += cpu(*process)?;
        sum.resident_kib += resident_kib(*process)?;
        for task in fs::read_dir(format!("{folder}/task"))? {
            // A thread may have ended since.
            let Ok(status) = fs::read_to_string(task?.path().join("status")) else { continue };
            sum.switches += number(&status, "voluntary_ctxt_switches:")?;
            sum.switches += number(&status, "nonvoluntary_ctxt_switches:")?;
        }
    }
    Ok(sum)
}

/// What a process is said to have written (`write_bytes`) is counted when memory becomes dirty, and by whole folios: on a
/// kernel that makes them large, two to four times of what goes to the device.
fn device_written() -> Result<u64> {
    let device = fs::metadata(target())?.dev();
    let stat = fs::read_to_string(format!("/sys/dev/block/{}:{}/stat", major(device), minor(device)))?;
    let sectors: u64 = stat.split_whitespace().nth(6).ok_or("no number of sectors")?.parse()?;
    Ok(sectors * 512)
}

impl Usage {
    /// Bytes written since, for each of so many.
    pub fn written_per(&self, before: &Self, bytes: f64) -> f64 {
        self.written.zip(before.written).map_or(f64::NAN, |(after, before)| (after - before) as f64 / bytes)
    }
}

/// User and system time.
pub fn cpu(process: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name, in brackets, may hold spaces; user and system time are the 12th and 13th field behind it.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u32 = fields.skip(11).take(2).map(|ticks| ticks.parse().unwrap_or(0)).sum();
    Ok(TICK * ticks)
}

/// Every time a thread went to sleep it had been awake.
pub fn voluntary_switches(process: u32) -> Result<u64> {
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{process}/task"))? {
        sum += number(&fs::read_to_string(task?.path().join("status"))?, "voluntary_ctxt_switches:")?;
    }
    Ok(sum)
}

pub fn resident_kib(process: u32) -> Result<u64> {
    number(&fs::read_to_string(format!("/proc/{process}/status"))?, "VmRSS:")
}

/// What all processors of the machine have done, and had time for.
pub fn machine() -> Result<(Duration, Duration)> {
    let stat = fs::read_to_string("/proc/stat")?;
    let line =
        stat.lines().next().and_then(|line| line.strip_prefix("cpu ")).ok_or("no line of processors")?;
    // user nice system idle iowait irq softirq steal; guests are in the first two.
    let ticks: Vec<u32> = line.split_whitespace().take(8).map(|ticks| ticks.parse().unwrap_or(0)).collect();
    let all: u32 = ticks.iter().sum();
    let idle: u32 = ticks.iter().skip(3).take(2).sum();
    Ok((TICK * (all - idle), TICK * all))
}

fn number(text: &str, field: &str) -> Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field)).ok_or(format!("no {field}"))?;
    Ok(line.split_whitespace().next().ok_or("no value")?.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_something() {
        let used = of(&[std::process::id()]).unwrap();
        assert!(used.resident_kib > 100 && used.switches > 0);
        let (busy, all) = machine().unwrap();
        assert!(Duration::ZERO < busy && busy <= all);
    }
}

//! A child process that is measured and does not outlive its owner.

use anyhow::Context;
use std::{
    path::Path,
    process::{Child, Command},
    time::Duration,
};

/// A running program.
pub struct Daemon {
    child: Child,
}

/// What a program used until it ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Used {
    /// Largest resident memory.
    pub resident_mb: f64,
    /// Of both kinds.
    pub cpu_seconds: f64,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Already ended is fine.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

impl Daemon {
    pub fn spawn(command: &mut Command) -> anyhow::Result<Self> {
        Ok(Self {
            child: command.spawn().with_context(|| format!("{command:?}"))?,
        })
    }

    /// Resident memory now.
    pub fn resident_mb(&self) -> anyhow::Result<f64> {
        self.status("VmRSS:")
    }

    /// What it used until now.
    pub fn used(&self) -> anyhow::Result<Used> {
        Ok(Used {
            resident_mb: self.status("VmHWM:")?,
            cpu_seconds: self.cpu_seconds()?,
        })
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> anyhow::Result<Used> {
        let mut used = Used::default();
        loop {
            // Gone between two looks: what was seen before stands.
            used = self.used().unwrap_or(used);
            if let Some(status) = self.child.try_wait()? {
                anyhow::ensure!(
                    status.success() || status.code() == Some(2),
                    "ended with {status}"
                );
                return Ok(used);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn status(&self, name: &str) -> anyhow::Result<f64> {
        let status = std::fs::read_to_string(self.proc("status"))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .context("no such line")?;
        let kilobytes: f64 = line.trim().trim_end_matches(" kB").trim().parse()?;
        Ok(kilobytes * 1024.0 / 1e6)
    }

    /// Processor time of all threads, user and system; 100 ticks a second.
    pub fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let stat = std::fs::read_to_string(self.proc("stat"))?;
        let after_name = stat.rsplit(')').next().context("stat")?;
        let mut ticks = after_name.split_whitespace().skip(11);
        let mut next = || {
            ticks
                .next()
                .and_then(|ticks| ticks.parse::<f64>().ok())
                .context("stat")
        };
        Ok((next()? + next()?) / 100.0)
    }

    fn proc(&self, file: &str) -> std::path::PathBuf {
        Path::new("/proc")
            .join(self.child.id().to_string())
            .join(file)
    }
}

/// A gauge or counter of a daemon; 0 while it does not answer.
pub async fn gauge(ops: &str, name: &str) -> usize {
    let Ok(answer) = reqwest::get(format!("http://{ops}/metrics")).await else {
        return 0;
    };
    let text = answer.text().await.unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    line.unwrap_or(0)
}

/// Whether a daemon says that it does its work.
pub async fn is_ready(ops: &str) -> bool {
    reqwest::get(format!("http://{ops}/readyz"))
        .await
        .is_ok_and(|answer| answer.status().is_success())
}

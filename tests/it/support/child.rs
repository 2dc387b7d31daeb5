//! The built binary as a child process: killed when dropped, its log kept for the message of a failing test.

use super::{PATIENCE, eventually};
use std::{
    path::PathBuf,
    process::{Command, ExitStatus, Output, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_paywatch");

/// A running paywatch.
pub(crate) struct Child {
    process: std::process::Child,
    log: PathBuf,
}

impl Child {
    pub(crate) fn daemon(folder: &TempDir, environment: &[(String, String)]) -> Self {
        let mut command = command(environment);
        command.arg("run");
        Self::spawn(command, folder, "daemon")
    }

    pub(crate) fn sandbox(folder: &TempDir) -> Self {
        let mut command = command(&[]);
        command
            .arg("--config")
            .arg(folder.path().join("sandbox.toml"))
            .arg("sandbox");
        Self::spawn(command, folder, "sandbox")
    }

    /// As systemd starts it: the watchdog is meant for this very process.
    pub(crate) fn under_watchdog(folder: &TempDir, environment: &[(String, String)]) -> Self {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(format!(
            "WATCHDOG_USEC=300000 WATCHDOG_PID=$$ exec {BINARY} run"
        ));
        command
            .env_clear()
            .envs(environment.iter().map(|(name, value)| (name, value)));
        Self::spawn(command, folder, "daemon")
    }

    /// With this soft limit of open files, and the hard one of the tests.
    pub(crate) fn with_descriptors(
        folder: &TempDir,
        environment: &[(String, String)],
        soft: u32,
    ) -> Self {
        let mut command = Command::new("/bin/sh");
        let script = format!("ulimit -Sn {soft}; exec {BINARY} run");
        command
            .arg("-c")
            .arg(script)
            .env_clear()
            .envs(environment.iter().map(|(name, value)| (name, value)));
        Self::spawn(command, folder, "daemon")
    }

    /// Outlives a write beyond a limit of the file's size, as it outlives one to a full disk.
    pub(crate) fn with_mortal_disk(folder: &TempDir, environment: &[(String, String)]) -> Self {
        let mut command = Command::new("/bin/sh");
        let script = format!("trap '' XFSZ; exec {BINARY} run");
        command
            .arg("-c")
            .arg(script)
            .env_clear()
            .envs(environment.iter().map(|(name, value)| (name, value)));
        Self::spawn(command, folder, "daemon")
    }

    /// From now on it can write so many bytes into each file.
    pub(crate) fn limit_files(&self, bytes: &str) {
        let status = Command::new("prlimit")
            .arg(format!("--pid={}", self.process.id()))
            .arg(format!("--fsize={bytes}:unlimited"))
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// Any command, in the background.
    pub(crate) fn command(
        folder: &TempDir,
        environment: &[(String, String)],
        args: &[&str],
    ) -> Self {
        let mut command = command(environment);
        command.args(args);
        Self::spawn(command, folder, "command")
    }

    /// The demo, left running when it is over.
    pub(crate) fn demo(folder: &TempDir) -> Self {
        let mut command = Command::new(Self::demo_binary());
        command.env("KEEP", "1").current_dir(folder.path());
        Self::spawn(command, folder, "demo")
    }

    /// Built along with the tests.
    pub(crate) fn demo_binary() -> PathBuf {
        let bin = PathBuf::from(BINARY);
        bin.parent().unwrap().join("examples/demo")
    }

    fn spawn(mut command: Command, folder: &TempDir, name: &str) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let log = folder.path().join(format!(
            "{name}-{}.log",
            COUNT.fetch_add(1, Ordering::Relaxed)
        ));
        let file = std::fs::File::create(&log).unwrap();
        let same = file.try_clone().unwrap();
        let process = command.stdout(same).stderr(file).spawn().unwrap();
        Self { process, log }
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// The address the child says it listens on, after these words.
    pub(crate) async fn address(&self, words: &str) -> String {
        let mut found = None;
        eventually(words, async || {
            found = self.log().split_once(words).and_then(|(_, rest)| {
                let end = rest.find(|c: char| c != '.' && c != ':' && !c.is_ascii_digit())?;
                Some(rest[..end].to_owned())
            });
            found.is_some()
        })
        .await;
        found.unwrap()
    }

    /// Root of the daemon's ops pages.
    pub(crate) async fn ops(&self) -> String {
        format!(
            "http://{}",
            self.address("ops pages at /healthz, /readyz, /metrics address=")
                .await
        )
    }

    /// The page of metrics.
    pub(crate) async fn metrics(&self) -> String {
        let url = format!("{}/metrics", self.ops().await);
        reqwest::get(url).await.unwrap().text().await.unwrap()
    }

    pub(crate) async fn wait_until_ready(&self) {
        let ops = self.ops().await;
        eventually("the daemon is ready", async || {
            reqwest::get(format!("{ops}/readyz"))
                .await
                .is_ok_and(|answer| answer.status().is_success())
        })
        .await;
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    /// SIGKILL, where somebody keeps the handle.
    pub(crate) fn end(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// SIGTERM, and the exit status once it has drained.
    pub(crate) fn terminate(mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait_for_exit(PATIENCE)
            .expect("the daemon drains in time")
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.process.id().to_string())
            .status()
            .unwrap();
        assert!(status.success());
    }

    pub(crate) fn wait_for_exit(&mut self, patience: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if let Some(status) = self.process.try_wait().unwrap() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Already ended is fine.
        let _ended = self.process.kill();
        let _reaped = self.process.wait();
        if std::thread::panicking() {
            eprintln!("--- {}\n{}", self.log.display(), self.log());
        }
    }
}

/// Runs a command to its end, which must come soon.
pub(crate) fn exit_of(environment: &[(String, String)], args: &[&str]) -> Output {
    Command::new("/usr/bin/timeout")
        .arg(PATIENCE.as_secs().to_string())
        .arg(BINARY)
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// What a command said, on both outputs.
pub(crate) fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// The binary in an environment that is the test's own.
fn command(environment: &[(String, String)]) -> Command {
    let mut command = Command::new(BINARY);
    command
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (name, value)));
    command
}

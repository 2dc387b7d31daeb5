//! Others beside paywatch, on the same payments: `make bench-peers`. Their programs stand in `benches/peers`.

use crate::api::{Api, memo};
use crate::backfill::as_f64;
use crate::daemon::{Daemon, Used};
use crate::figures::quantile_ms;
use crate::tap::Tap;
use crate::world::World;
use comfy_table::{Table, presets};
use localnet::{Keypair, Pubkey, Signer, associated};
use paywatch::domain::Signature;
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use tokio::time::sleep;

const BACKFILL: usize = 2_000;
const LIVE: usize = 60;
const EVERY: Duration = Duration::from_millis(150);
/// Payments while the socket is cut, one a second.
const CUT: usize = 10;
/// Whoever does nothing for so long is done.
const PATIENCE: Duration = Duration::from_secs(12);
/// Until a program listens.
const WARM_UP: Duration = Duration::from_secs(4);

#[derive(Clone, Copy)]
enum Peer {
    Paywatch,
    Script(&'static str),
    Carbon,
}

const ALL: [(&str, Peer, &str); 7] = [
    ("paywatch", Peer::Paywatch, "default"),
    ("web3.js 1", Peer::Script("web3.mjs"), "default"),
    ("web3.js 1", Peer::Script("web3.mjs"), "tuned"),
    ("kit 8", Peer::Script("kit.mjs"), "default"),
    ("kit 8", Peer::Script("kit.mjs"), "tuned"),
    ("Carbon 1.0.0", Peer::Carbon, "default"),
    ("Carbon 1.0.0", Peer::Carbon, "tuned"),
];

/// Where one program is set to work.
struct Place<'a> {
    world: &'a World,
    folder: &'a Path,
    carbon: &'a Path,
    peer: Peer,
    form: &'static str,
}

/// Prints the table. `folder` holds the scripts, `carbon` is the built Carbon program.
pub async fn measure(world: &World, folder: &Path, carbon: &Path) -> anyhow::Result<()> {
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN);
    table.set_header([
        "program",
        "form",
        "backfill/s",
        "backfill lost",
        "memory MB",
        "latency ms (p50, p95)",
        "PUTs a payment",
        "lost in a 10 s cut",
        "confirmed falsely",
        "missed",
    ]);
    let past = world.merchant().await?;
    let memos: Vec<String> = (0..BACKFILL).map(memo).collect();
    world.seed(&past, &memos).await?;
    for (name, peer, form) in ALL {
        let place = Place {
            world,
            folder,
            carbon,
            peer,
            form,
        };
        let (rate, lost, used) = place.backfill(&past).await?;
        let (latency, puts) = place.live().await?;
        let cut = place.cut().await?;
        let (falsely, missed) = place.traps().await?;
        let row = [
            name.to_owned(),
            form.to_owned(),
            format!("{rate:.0}"),
            lost.to_string(),
            format!("{:.0}", used.resident_mb),
            latency,
            format!("{puts:.2}"),
            format!("{cut} of {CUT}"),
            falsely,
            missed,
        ];
        eprintln!("{}", row.join(" | "));
        table.add_row(row);
    }
    println!("{table}");
    Ok(())
}

impl Place<'_> {
    fn command(&self, mode: &str, api: &Api, rpc: &str, ws: &str, account: &Pubkey) -> Command {
        let mut command = match self.peer {
            Peer::Paywatch => {
                let database = format!("peer-{}.db", Keypair::new().pubkey());
                let mut command = self.world.paywatch(&api.url, rpc, ws, &database, "");
                command.arg(if mode == "watch" { "run" } else { "backfill" });
                command
            }
            Peer::Script(script) => {
                let mut command = Command::new("node");
                command.arg(self.folder.join(script)).arg(mode);
                command
            }
            Peer::Carbon => Command::new(self.carbon),
        };
        command.env("RPC", rpc).env("WS", ws).env("API", &api.url);
        command
            .env("ACCOUNT", account.to_string())
            .env("FORM", self.form);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Waits until so many were told, or nothing happens any more. What it used is of the last look.
    async fn told(&self, program: &mut Daemon, api: &Api, count: usize) -> Used {
        let (mut seen, mut at, mut used) = (0, Instant::now(), Used::default());
        while api.told.count() < count && at.elapsed() < PATIENCE {
            if api.told.count() > seen {
                (seen, at) = (api.told.count(), Instant::now());
            }
            used = program.used().unwrap_or(used);
            sleep(Duration::from_millis(20)).await;
        }
        program.used().unwrap_or(used)
    }

    async fn backfill(&self, past: &Keypair) -> anyhow::Result<(f64, usize, Used)> {
        let (world, net) = (self.world, &self.world.net);
        let api = world.api(past, BACKFILL).await?;
        let account = associated(&past.pubkey(), &world.usdc);
        let began = Instant::now();
        let mut command = self.command("backfill", &api, &net.rpc_url, &net.ws_url, &account);
        let mut program = Daemon::spawn(&mut command)?;
        let used = self.told(&mut program, &api, BACKFILL).await;
        let took = api.told.last().unwrap_or(began) - began;
        let told = api.told.count();
        Ok((
            as_f64(told) / took.as_secs_f64().max(0.001),
            BACKFILL - told,
            used,
        ))
    }

    async fn watch(
        &self,
        merchant: &Keypair,
        sessions: usize,
    ) -> anyhow::Result<(Api, Tap, Daemon)> {
        let world = self.world;
        let (api, mut tap) = (world.api(merchant, sessions).await?, world.tap(None).await?);
        let account = associated(&merchant.pubkey(), &world.usdc);
        tap.observe(&account.to_string());
        let mut command = self.command("watch", &api, &world.net.rpc_url, &tap.ws_url, &account);
        let program = Daemon::spawn(&mut command)?;
        sleep(WARM_UP).await;
        Ok((api, tap, program))
    }

    async fn live(&self) -> anyhow::Result<(String, f64)> {
        let merchant = self.world.merchant().await?;
        let (api, tap, mut program) = self.watch(&merchant, LIVE).await?;
        let mut sent = Vec::new();
        for session in 0..LIVE {
            sent.push(self.world.pay(&merchant, &memo(session)).await?.to_string());
            sleep(EVERY).await;
        }
        self.told(&mut program, &api, LIVE).await;
        let latency = |signature: &String| {
            let told_at = api.told.at(signature)?;
            Some(told_at - tap.notified_before(signature, told_at)?)
        };
        let mut latencies: Vec<_> = sent.iter().filter_map(latency).collect();
        latencies.sort_unstable();
        let (p50, p95) = (quantile_ms(&latencies, 50), quantile_ms(&latencies, 95));
        let puts = as_f64(api.told.calls()) / as_f64(api.told.count().max(1));
        Ok((format!("{p50:.1}, {p95:.1}"), puts))
    }

    /// The socket breaks and stays away for ten seconds, in which people pay.
    async fn cut(&self) -> anyhow::Result<usize> {
        let merchant = self.world.merchant().await?;
        let (api, tap, mut program) = self.watch(&merchant, CUT).await?;
        tap.cut(Duration::from_secs(CUT as u64));
        for session in 0..CUT {
            self.world.pay(&merchant, &memo(session)).await?;
            sleep(Duration::from_secs(1)).await;
        }
        self.told(&mut program, &api, CUT).await;
        Ok(CUT - api.told.count())
    }

    /// What must not be confirmed, and what must although it looks odd.
    async fn traps(&self) -> anyhow::Result<(String, String)> {
        let world = self.world;
        let merchant = world.merchant().await?;
        let (api, _tap, mut program) = self.watch(&merchant, 10).await?;
        let bad = [
            ("failed", world.fail_to_pay(&merchant, &memo(0)).await?),
            (
                "wrong mint",
                world.pay_in_play_money(&merchant, &memo(1)).await?,
            ),
        ];
        let good = [
            ("batch", world.pay_in_a_batch(&merchant, &memo(2)).await?),
            (
                "version 1",
                world.pay_in_version_1(&merchant, &memo(3)).await?,
            ),
        ];
        self.told(&mut program, &api, 4).await;
        drop(program);
        let told = |signature: &Signature| api.told.at(&signature.to_string()).is_some();
        let mut falsely: Vec<_> = bad
            .iter()
            .filter(|(_, signature)| told(signature))
            .map(|(name, _)| *name)
            .collect();
        let missed: Vec<_> = good
            .iter()
            .filter(|(_, signature)| !told(signature))
            .map(|(name, _)| *name)
            .collect();
        let fee = world.with_fee().await?;
        let place = Place {
            world: &fee,
            ..*self
        };
        let merchant = fee.merchant().await?;
        let (api, _tap, mut program) = place.watch(&merchant, 1).await?;
        fee.pay(&merchant, &memo(0)).await?;
        place.told(&mut program, &api, 1).await;
        if api.told.count() > 0 {
            falsely.push("fee");
        }
        let list = |all: &[&str]| {
            if all.is_empty() {
                "–".to_owned()
            } else {
                all.join(", ")
            }
        };
        Ok((list(&falsely), list(&missed)))
    }
}

/// Where `make bench-peers` put them.
#[derive(Clone, clap::Args)]
pub struct Peers {
    /// Measure other programs instead: the folder of their scripts.
    #[arg(long, requires = "carbon")]
    peers: Option<PathBuf>,
    /// The built Carbon program.
    #[arg(long)]
    carbon: Option<PathBuf>,
}

impl Peers {
    /// Both folders, if they are to be measured.
    pub fn wanted(&self) -> Option<(&Path, &Path)> {
        self.peers.as_deref().zip(self.carbon.as_deref())
    }
}

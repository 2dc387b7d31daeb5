//! What this machine alone can tell.

use super::{Finding, Report};
use crate::config::Config;
use crate::store::Store;
use std::{io::ErrorKind, net::TcpListener, os::unix::fs::PermissionsExt, path::Path};

pub(super) async fn look(config: &Config, report: &mut Report) -> anyhow::Result<()> {
    report.add(database(config).await)?;
    for (key, file) in &config.secret_files {
        report.add(secret_file(key, file))?;
    }
    report.add(ops(config))
}

/// Makes no database: `run` does.
async fn database(config: &Config) -> Finding {
    let check = "store.url";
    let Some(file) = config.database_file() else {
        return Finding::warning(
            check,
            "the database is in memory",
            "what was recorded is lost with every restart: name a file, sqlite:PATH",
        );
    };
    let place = file.display();
    if file.exists() {
        return match Store::probe_file(&config.store_url).await {
            Ok(()) => Finding::ok(check, format!("{place} can be written")),
            Err(error) => Finding::failed(
                check,
                format!("{place}: {:#}", anyhow::Error::new(error)),
                "the file, its folder and the -wal and -shm files beside it must belong to the user that runs paywatch, on a disk with room",
            ),
        };
    }
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    match tempfile::tempfile_in(folder) {
        Ok(_) => Finding::ok(check, format!("{place} does not exist yet and can be made")),
        Err(error) => Finding::failed(
            check,
            format!("{place} cannot be made: {error}"),
            "make the folder, and let it belong to the user that runs paywatch",
        ),
    }
}

/// A secret is for its owner alone.
fn secret_file(key: &str, file: &Path) -> Finding {
    const EVERYBODY: u32 = 0o004;
    let (place, advice) = (
        file.display(),
        "give the file to the user that runs paywatch, and take it from all others: chmod 600",
    );
    match file.metadata() {
        Ok(about) if about.permissions().mode() & EVERYBODY != 0 => Finding::warning(
            key,
            format!("{place} can be read by everybody on this machine"),
            advice,
        ),
        Ok(_) => Finding::ok(key, format!("{place} is not for everybody")),
        Err(error) => Finding::failed(key, format!("{place}: {error}"), advice),
    }
}

fn ops(config: &Config) -> Finding {
    let check = "ops.listen";
    let Some(address) = config.ops.listen else {
        return Finding::ok(check, "off: no health, no metrics");
    };
    match TcpListener::bind(address) {
        Ok(_) => Finding::ok(check, format!("{address} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse => Finding::warning(
            check,
            format!("{address} is taken"),
            "fine if it is paywatch that runs there already (paywatch healthcheck tells); else name another port",
        ),
        Err(error) => Finding::failed(
            check,
            format!("{address}: {error}"),
            "name an address of this machine",
        ),
    }
}

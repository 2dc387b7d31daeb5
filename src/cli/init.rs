//! `paywatch init`: writes a configuration file to begin with.

use super::{Failure, print};
use crate::config::{Config, filled_in, list};
use anyhow::{Context, anyhow};
use std::{
    fs::OpenOptions,
    io::{BufRead, IsTerminal, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};
use toml::Value;
use url::Url;

/// Arguments of `paywatch init`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The file to write; must not exist
    #[arg(default_value = "paywatch.toml", value_name = "FILE")]
    file: PathBuf,
    /// Root of the payments API, "https://host/api/v1/payments"
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// File that holds the API's key
    #[arg(long, value_name = "FILE")]
    api_key_file: Option<PathBuf>,
    /// HTTP endpoint of a Solana node; may be given several times, the first is preferred
    #[arg(long, value_name = "URL")]
    rpc_url: Vec<String>,
    /// WebSocket endpoint of a Solana node; may be given several times [default: what the first HTTP endpoint would be as one]
    #[arg(long, value_name = "URL")]
    ws_url: Vec<String>,
    /// The database, "sqlite:PATH"
    #[arg(long, value_name = "URL")]
    store_url: Option<String>,
}

/// What must be known, and what else was said.
struct Answers {
    base_url: String,
    api_key_file: Option<String>,
    rpc_urls: Vec<String>,
    ws_urls: Vec<String>,
    store_url: Option<String>,
}

/// Asks on a terminal for what no flag says. What would not be accepted later is refused now, and nothing is written.
pub(super) fn run(args: &Args) -> Result<u8, Failure> {
    let answers = if std::io::stdin().is_terminal() {
        ask(args)?
    } else {
        from_flags(args)?
    };
    check(&answers)?;
    write(&args.file, &filled_in(&answers.values()))?;
    let file = args.file.display();
    let key = match &answers.api_key_file {
        Some(file) => format!("the key of the payments API is read from {file}"),
        None => {
            "the payments API is asked without a key; set merchant.api_key_file if it needs one"
                .into()
        }
    };
    print::line(&format!(
        "wrote {file}: every key with its default, unit and reason\n{key}\nnext:\n  paywatch --config {file} check   # is everything there?\n  paywatch --config {file} run     # watch and confirm"
    ))?;
    Ok(0)
}

impl Answers {
    fn values(&self) -> Vec<(&'static str, &'static str, Value)> {
        let list = |urls: &[String]| Value::Array(urls.iter().cloned().map(Value::from).collect());
        let mut values = vec![
            ("merchant", "base_url", self.base_url.clone().into()),
            ("solana", "rpc_urls", list(&self.rpc_urls)),
            ("solana", "ws_urls", list(&self.ws_urls)),
        ];
        let file = self.api_key_file.clone();
        values.extend(file.map(|file| ("merchant", "api_key_file", file.into())));
        let url = self.store_url.clone();
        values.extend(url.map(|url| ("store", "url", url.into())));
        values
    }
}

fn from_flags(args: &Args) -> Result<Answers, Failure> {
    let (Some(base_url), false) = (args.base_url.clone(), args.rpc_url.is_empty()) else {
        return Err(Failure::Configuration(anyhow!(
            "nobody to ask: give --base-url (the payments API) and --rpc-url (a Solana node), or run this on a terminal"
        )));
    };
    Ok(Answers {
        base_url,
        api_key_file: path(args.api_key_file.as_deref()),
        ws_urls: or_same_host(&args.ws_url, &args.rpc_url),
        rpc_urls: args.rpc_url.clone(),
        store_url: args.store_url.clone(),
    })
}

fn ask(args: &Args) -> anyhow::Result<Answers> {
    let base_url = match &args.base_url {
        Some(url) => url.clone(),
        None => question(
            "root of the payments API (https://host/api/v1/payments)",
            "",
        )?,
    };
    let api_key_file = match path(args.api_key_file.as_deref()) {
        Some(file) => Some(file),
        None => Some(question("file that holds its key (none: empty)", "")?),
    };
    let rpc_urls = if args.rpc_url.is_empty() {
        list(&question(
            "HTTP endpoints of Solana nodes, comma-separated, the preferred one first",
            "",
        )?)
    } else {
        args.rpc_url.clone()
    };
    let proposed = or_same_host(&args.ws_url, &rpc_urls);
    let ws_urls = if args.ws_url.is_empty() {
        list(&question("their WebSocket endpoints", &proposed.join(","))?)
    } else {
        proposed
    };
    Ok(Answers {
        base_url,
        api_key_file: api_key_file.filter(|file| !file.is_empty()),
        rpc_urls,
        ws_urls,
        store_url: args.store_url.clone(),
    })
}

/// Nothing said means the default.
fn question(text: &str, default: &str) -> anyhow::Result<String> {
    let shown = if default.is_empty() {
        String::new()
    } else {
        format!(" [{default}]")
    };
    eprint!("{text}{shown}: ");
    std::io::stderr().flush().context("ask")?;
    let mut answer = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .context("read the answer")?;
    let answer = answer.trim();
    Ok(if answer.is_empty() { default } else { answer }.to_owned())
}

fn path(file: Option<&Path>) -> Option<String> {
    file.map(|file| file.display().to_string())
}

/// Providers serve both under one address; a validator of one's own has its sockets one port higher.
fn or_same_host(ws_urls: &[String], rpc_urls: &[String]) -> Vec<String> {
    if !ws_urls.is_empty() {
        return ws_urls.to_vec();
    }
    let first = rpc_urls.first().and_then(|url| Url::parse(url).ok());
    let as_socket = |mut url: Url| {
        let scheme = if url.scheme() == "https" { "wss" } else { "ws" };
        let port = url.port().map(|port| port.saturating_add(1));
        url.set_scheme(scheme).ok()?;
        url.set_port(port).ok()?;
        Some(url.to_string())
    };
    first.and_then(as_socket).into_iter().collect()
}

/// The key's file may be put in place later.
fn check(answers: &Answers) -> Result<(), Failure> {
    let text = |value: Value| match value {
        Value::Array(items) => items
            .iter()
            .filter_map(Value::as_str)
            .collect::<Vec<_>>()
            .join(","),
        one => one.as_str().unwrap_or_default().to_owned(),
    };
    let values = answers.values().into_iter();
    let environment = values
        .filter(|(_, key, _)| *key != "api_key_file")
        .map(|(section, key, value)| (format!("PAYWATCH__{section}__{key}"), text(value)));
    Config::load(None, environment).map_err(Failure::Configuration)?;
    Ok(())
}

/// Addresses of nodes hold keys: the file is its owner's alone.
fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    let mut options = OpenOptions::new();
    let opened = options.write(true).create_new(true).mode(0o600).open(file);
    let mut opened = opened.with_context(|| {
        format!(
            "write {} (a file that exists is never overwritten: name another one)",
            file.display()
        )
    })?;
    opened
        .write_all(text.as_bytes())
        .with_context(|| format!("write {}", file.display()))
}

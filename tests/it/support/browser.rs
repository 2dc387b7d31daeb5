//! A real browser without a window, steered through its driver. Both end with the test.

use super::{PATIENCE, eventually};
use fantoccini::{Client, ClientBuilder, Locator, wd::Capabilities};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

/// A browser at some size of window.
pub(crate) struct Browser {
    pub(crate) client: Client,
    root: String,
    driver: Child,
    /// What it writes, and leaves behind when it is killed.
    _folder: TempDir,
}

impl Browser {
    /// A browser on a desk, for the pages below this address.
    pub(crate) async fn open(root: &str) -> Self {
        Self::with(root, json!({}), &["--window-size=1100,900"]).await
    }

    /// One on a phone, whose owner likes it dark.
    pub(crate) async fn on_a_phone(root: &str) -> Self {
        let metrics = json!({ "width": 390, "height": 844, "pixelRatio": 2.0, "touch": true });
        let emulation = json!({ "deviceMetrics": metrics });
        Self::with(root, emulation, &["--force-dark-mode"]).await
    }

    async fn with(root: &str, emulation: Value, more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (driver, port) = (0..5)
            .find_map(|_| start_driver(folder.path()))
            .expect("chromedriver (Debian's chromium-driver, see `make setup-tests`)");
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
        ];
        let arguments = [&arguments[..], more].concat();
        let mut options = json!({ "args": arguments });
        if emulation != json!({}) {
            options["mobileEmulation"] = emulation;
        }
        let wanted = Capabilities::from_iter([("goog:chromeOptions".to_owned(), options)]);
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(wanted);
        let driver_url = format!("http://127.0.0.1:{port}");
        let client = tokio::time::timeout(PATIENCE, builder.connect(&driver_url)).await;
        Self {
            client: client.expect("a browser in time").unwrap(),
            root: root.to_owned(),
            driver,
            _folder: folder,
        }
    }

    pub(crate) async fn goto(&self, path: &str) {
        let url = format!("{}{path}", self.root);
        self.client.goto(&url).await.unwrap();
    }

    /// The text that a person sees; nothing between two pages.
    pub(crate) async fn text(&self) -> String {
        match self.client.find(Locator::Css("main")).await {
            Ok(main) => main.text().await.unwrap_or_default(),
            Err(_) => String::new(),
        }
    }

    /// Waits until the page shows this, without loading it again.
    pub(crate) async fn sees(&self, text: &str) {
        eventually(&format!("the page shows {text:?}"), async || {
            self.text().await.contains(text)
        })
        .await;
    }

    /// Waits until the page shows one of these.
    pub(crate) async fn sees_any(&self, texts: &[&str]) {
        eventually(&format!("the page shows one of {texts:?}"), async || {
            let shown = self.text().await;
            texts.iter().any(|text| shown.contains(text))
        })
        .await;
    }

    /// Clicks on the first link or button of this name. A live page may put another one in its place between a look and the click.
    pub(crate) async fn click(&self, name: &str) {
        let path = format!("//*[self::a or self::button][contains(normalize-space(.), '{name}')]");
        eventually(&format!("{name} is clicked"), async || {
            let found = self.client.find(Locator::XPath(&path)).await;
            match found {
                Ok(found) => found.click().await.is_ok(),
                Err(_) => false,
            }
        })
        .await;
    }

    pub(crate) async fn fill(&self, field: &str, text: &str) {
        let css = format!("input[name={field}]");
        let found = self.client.find(Locator::Css(&css)).await.unwrap();
        found.clear().await.unwrap();
        found.send_keys(text).await.unwrap();
    }

    /// What a script finds out about the page.
    pub(crate) async fn evaluate(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.unwrap()
    }

    /// Writes a picture of the page below `target/screenshots`, or where `PAYWATCH_SCREENSHOTS` says.
    pub(crate) async fn picture(&self, name: &str) {
        let folder = std::env::var("PAYWATCH_SCREENSHOTS")
            .unwrap_or_else(|_| concat!(env!("CARGO_TARGET_TMPDIR"), "/../screenshots").into());
        std::fs::create_dir_all(&folder).unwrap();
        let picture = self.screen().await;
        std::fs::write(format!("{folder}/{name}.png"), picture).unwrap();
    }

    /// What a camera before the screen would see, as PNG.
    pub(crate) async fn screen(&self) -> Vec<u8> {
        self.client.screenshot().await.unwrap()
    }
}

/// Ends the driver and its browser when standard input does, which is when this process ends, however it is ended: a browser that is
/// left over would look for its page for ever, wherever somebody else listens by then.
const ON_A_LEASH: &str = "chromedriver --port=0 & exec >/dev/null; cat; kill -KILL 0";

/// A driver and its port. One that finds the port it chose taken by another says so and ends; then there is none.
fn start_driver(folder: &Path) -> Option<(Child, String)> {
    let mut driver = Command::new("sh")
        .args(["-c", ON_A_LEASH])
        .env("TMPDIR", folder)
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
    while let Some(line) = lines.next() {
        if let Some((_, port)) = line.unwrap().split_once("successfully on port ") {
            // What else it says is of no interest, but must not fill its pipe.
            std::thread::spawn(move || lines.for_each(drop));
            return Some((driver, port.trim_end_matches('.').to_owned()));
        }
    }
    // Closes its standard input first.
    driver.wait().unwrap();
    None
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser is of the driver's group, and does not end with it by itself.
        let group = format!("-{}", self.driver.id());
        let _gone = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ended = self.driver.wait();
    }
}

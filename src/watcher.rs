//! The watcher as a library: the daemon's loops inside another program, which brings its own way to credit a checkout.

use crate::config::Config;
use crate::domain::{Checkout, Memo, Mint, Wallet};
use crate::merchant::Backend;
use crate::pipeline::Pipeline;
use crate::solana::Rpc;
use crate::store::{Stage, TakenIn};
use crate::supervisor::{self, Host};
use anyhow::Context;
use std::{path::Path, sync::Arc};
use tokio_util::sync::CancellationToken;
use toml::{Table, Value};

/// Watches wallets on Solana for payments, and has them credited by a [`Backend`].
///
/// All guarantees of the daemon hold: what is found is recorded before anybody is told, a checkout is credited by one payment at most,
/// and after a crash everything goes on where it was. Clones share one watcher.
///
/// ```
/// use paywatch::domain::{BaseUnits, Checkout, CheckoutStatus, Memo, Signature};
/// use paywatch::{Backend, ConfirmResult, Stage, Watcher, async_trait};
///
/// struct Shop;
///
/// #[async_trait]
/// impl Backend for Shop {
///     // Credit the buyer in your own books. The same pair may come again, after a crash say: then it is credited already.
///     async fn confirm(&self, memo: &Memo, signature: Signature) -> ConfirmResult {
///         println!("{memo} was paid by {signature}");
///         ConfirmResult::accepted()
///     }
/// }
///
/// # #[tokio::main(flavor = "multi_thread", worker_threads = 2)]
/// # async fn main() -> anyhow::Result<()> {
/// # use localnet::{Keypair, Localnet, Payment, Signer};
/// # let network = Localnet::start(100).await?;
/// # let usdc = network.mint_of(spl_token::id()).await?;
/// # let buyer = network.wallet().await?;
/// # network.fund(&buyer.pubkey(), &usdc, 100_000_000).await?;
/// # let merchant = Keypair::new();
/// # let (mint, wallet) = (usdc.address.to_string().parse().unwrap(), merchant.pubkey().to_string().parse().unwrap());
/// # let (rpc_url, ws_url) = (&network.rpc_url, &network.ws_url);
/// # let folder = tempfile::tempdir()?;
/// # let file = folder.path().join("shop.db");
/// let watcher = Watcher::builder()
///     .rpc_url(rpc_url)
///     .ws_url(ws_url)
///     .token("USDC", mint, wallet)
///     .database(&file)
///     .backend(Shop)
///     .build()
///     .await?;
/// let stop = tokio_util::sync::CancellationToken::new();
/// let running = tokio::spawn(watcher.clone().run(stop.clone().cancelled_owned()));
///
/// // A buyer wants to pay 19 USDC: show them amount, wallet and memo.
/// let memo = Memo::parse("checkout-1").unwrap();
/// watcher
///     .expect(&Checkout {
///         memo: memo.clone(),
///         amount: Some(BaseUnits(19_000_000)),
///         mint: Some(mint),
///         recipient: Some(wallet),
///         status: CheckoutStatus::Pending,
///         created_at: None,
///     })
///     .await?;
/// # let payment = Payment::new(&buyer, merchant.pubkey(), &usdc, 19_000_000, "checkout-1");
/// # network.pay(&payment).await?;
/// while !matches!(watcher.stage(&memo).await?, Some((_, Stage::Confirmed { .. }))) {
///     tokio::time::sleep(std::time::Duration::from_millis(100)).await;
/// }
/// stop.cancel();
/// running.await??;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Watcher {
    pipeline: Arc<Pipeline>,
}

/// What a [`Watcher`] is made of.
#[derive(Default)]
pub struct Builder {
    settings: Vec<String>,
    rpc_urls: Vec<Value>,
    ws_urls: Vec<Value>,
    tokens: Vec<Value>,
    database: Option<String>,
    backend: Option<Arc<dyn Backend>>,
}

impl Watcher {
    /// Begins to make one.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Hands over a checkout as it is made. May be done again, and while the watcher does not run.
    ///
    /// # Errors
    /// When the database fails; handing it over again does no harm.
    pub async fn expect(&self, checkout: &Checkout) -> anyhow::Result<TakenIn> {
        self.pipeline.take_in(checkout).await
    }

    /// A checkout and how far it is; `None` if no such checkout is known.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn stage(&self, memo: &Memo) -> anyhow::Result<Option<(Checkout, Stage)>> {
        let found = self.pipeline.store.stage(memo).await;
        found.context("read how far a checkout is")
    }

    /// Watches until `shutdown`, then finishes the confirmations under way, for at most nine seconds. To be called once; then the
    /// database is closed, for clones too.
    ///
    /// # Errors
    /// When it cannot begin, or a loop ends by itself.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) -> anyhow::Result<()> {
        let stop = CancellationToken::new();
        let watching = supervisor::supervise(self.pipeline, Host::Program, stop.clone());
        tokio::pin!(watching);
        tokio::select! {
            ended = &mut watching => return ended,
            () = shutdown => stop.cancel(),
        }
        watching.await
    }
}

impl Builder {
    /// Settings as they stand in a configuration file (TOML), for what has no method here. Later ones override.
    #[must_use]
    pub fn settings(mut self, toml: impl Into<String>) -> Self {
        self.settings.push(toml.into());
        self
    }

    /// An HTTP endpoint of a Solana node that keeps history. The first is preferred, others are fall-backs.
    #[must_use]
    pub fn rpc_url(mut self, url: impl Into<String>) -> Self {
        self.rpc_urls.push(url.into().into());
        self
    }

    /// A WebSocket endpoint. All are listened to; without any, payments are found by sweeps, every 15 s.
    #[must_use]
    pub fn ws_url(mut self, url: impl Into<String>) -> Self {
        self.ws_urls.push(url.into().into());
        self
    }

    /// A token to be paid in, and the wallet (not token account) to be paid. Without any, the backend is asked for its tokens.
    #[must_use]
    pub fn token(mut self, symbol: impl Into<String>, mint: Mint, wallet: Wallet) -> Self {
        let token = [
            ("symbol", symbol.into()),
            ("mint", mint.to_string()),
            ("recipient", wallet.to_string()),
        ];
        let token = token.map(|(key, value)| (key.to_owned(), Value::from(value)));
        self.tokens.push(Table::from_iter(token).into());
        self
    }

    /// The file of the SQLite database, made if it is not there. It must stay: it knows what was credited.
    #[must_use]
    pub fn database(mut self, file: impl AsRef<Path>) -> Self {
        self.database = Some(format!("sqlite:{}", file.as_ref().display()));
        self
    }

    /// Who credits. Without one, the payments API of `merchant.base_url` is told over HTTP.
    #[must_use]
    pub fn backend(mut self, backend: impl Backend + 'static) -> Self {
        self.backend = Some(Arc::new(backend));
        self
    }

    /// Opens the database. Nothing else is opened before [`Watcher::run`].
    ///
    /// # Errors
    /// When a setting is not valid (says which, what was found and what is allowed), or the database cannot be opened.
    pub async fn build(self) -> anyhow::Result<Watcher> {
        let mut table = Table::new();
        // Pages, health and metrics of its own only where they are asked for.
        set(&mut table, "ops", "listen", "".into());
        if self.backend.is_some() {
            // Never asked; of a name that RFC 6761 keeps free.
            set(
                &mut table,
                "merchant",
                "base_url",
                "http://backend.invalid".into(),
            );
        }
        for text in &self.settings {
            let settings: Table = text.parse().context("read the settings")?;
            for (section, values) in settings {
                let values = values.try_into::<Table>();
                for (key, value) in
                    values.with_context(|| format!("read the settings: {section} is no section"))?
                {
                    set(&mut table, &section, &key, value);
                }
            }
        }
        for (section, key, list) in [
            ("solana", "rpc_urls", self.rpc_urls),
            ("solana", "ws_urls", self.ws_urls),
            ("watch", "tokens", self.tokens),
        ] {
            if !list.is_empty() {
                set(&mut table, section, key, Value::Array(list));
            }
        }
        if let Some(url) = self.database {
            set(&mut table, "store", "url", url.into());
        }
        let config = Config::from_toml(&table.to_string())?;
        let store = supervisor::open(&config).await?;
        let pipeline = match self.backend {
            Some(backend) => {
                let (urls, limits) = (&config.solana.rpc_urls, config.solana.limits);
                let rpc = Rpc::new(urls, limits).context("build the RPC client")?;
                Pipeline::over(config, store, &rpc, backend)
            }
            None => Pipeline::new(config, store)?,
        };
        Ok(Watcher { pipeline })
    }
}

fn set(table: &mut Table, section: &str, key: &str, value: Value) {
    let section = table.entry(section).or_insert_with(|| Table::new().into());
    if let Some(section) = section.as_table_mut() {
        section.insert(key.to_owned(), value);
    }
}

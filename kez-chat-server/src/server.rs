//! Starting and ending a home server.

use std::net::SocketAddr;
use std::sync::Arc;

use kez_core::handle::{HandleError, Home};
use kez_core::identity::SecretKey;
use kez_service::database::{DbError, OpenError};
use kez_service::process::WrongSetting;
use kez_service::rate::Limiter;
use kez_service::serve::{BindError, GRACE, Listener, Running};
use tokio::sync::Notify;

use crate::broker::{self, Broker};
use crate::callout::Callout;
use crate::endpoints::{Endpoints, SigchainClientError, Sigchains};
use crate::http::{self, App, Limiters};
use crate::metrics::Metrics;
use crate::registry::Registry;
use crate::settings::Settings;

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A setting can't be used.
    #[error("the settings can't be used")]
    Setting(#[from] WrongSetting),
    /// An address can't be listened on.
    #[error(transparent)]
    Listen(#[from] BindError),
    /// The registry's file can't be used.
    #[error(transparent)]
    Registry(#[from] OpenError),
    /// The registry can't be read or written.
    #[error("the registry can't be used")]
    RegistryFailed(#[from] DbError),
    /// The sigchain server could not be asked by any means.
    #[error(transparent)]
    Sigchains(#[from] SigchainClientError),
    /// The bound port made no name for the home.
    #[error("the home could not be named after its port; set KEZ_DOMAIN")]
    Domain(#[from] HandleError),
}

/// A running home server.
///
/// Dropping it cuts its connections; [`shutdown`](Self::shutdown) ends it in good order.
pub struct Server {
    domain: Home,
    public: Running,
    internal: Option<Running>,
    broker: Broker,
    registry: Registry,
}

impl Server {
    /// Starts a server. When it returns, HTTP is answered, and so are logins if the broker is within reach; if it is
    /// not, the server goes on trying.
    ///
    /// # Errors
    /// If a setting can't be used, an address can't be listened on, or the registry's file can't be opened.
    pub async fn bind(settings: Settings) -> Result<Self, StartError> {
        let checked = settings.check()?;
        let sigchains = Arc::new(Sigchains::new(checked.sig_url)?);
        let public = Listener::bind(settings.bind).await?;
        let internal = match settings.internal_bind {
            Some(address) => Some(Listener::bind(address).await?),
            None => None,
        };
        let domain = match settings.domain {
            Some(domain) => domain,
            None => Home::parse(&format!("localhost:{}", public.local_addr().port()), settings.policy)?,
        };
        let registry = Registry::open(settings.db_path, settings.policy).await?;
        let home = registry.settle(&domain).await?;
        if home != domain.to_string() {
            let expected = format!("{home}, whose registry DB_PATH is, or DB_PATH a new file");
            return Err(WrongSetting { name: "KEZ_DOMAIN", value: domain.to_string(), expected }.into());
        }
        let metrics = Metrics::new();
        let clock = settings.clock;
        let callout = Callout::new(&settings.secret, domain.clone(), registry.clone(), clock.clone(), metrics.clone());
        let callout = Arc::new(callout);
        let departed = Arc::new(Notify::new());
        let server_keys = settings.secret.server_keys().iter().map(SecretKey::primary).collect();
        let (broker, link) = Broker::start(broker::Config {
            servers: checked.nats,
            secret: settings.secret,
            stream_replicas: settings.stream_replicas,
            callout: Arc::clone(&callout),
            registry: registry.clone(),
            departed: Arc::clone(&departed),
            flood_limit_bytes: settings.flood_limit_bytes,
            sweep_every: settings.sweep_every,
            leftovers_stay: settings.leftovers_stay,
            clock: clock.clone(),
            meters: metrics.broker.clone(),
        })
        .await;
        let fresh_for = settings.endpoints_fresh_for;
        let endpoints = Endpoints::new(Arc::clone(&sigchains), settings.policy, fresh_for, metrics.endpoints.clone());
        let app = Arc::new(App {
            domain: domain.clone(),
            policy: settings.policy,
            clock,
            registry: registry.clone(),
            callout,
            link,
            departed,
            sigchains,
            endpoints,
            server_keys,
            nats_urls: checked.nats_public_urls,
            sig_url: checked.sig_public_url,
            relays: checked.relay_urls,
            metrics,
        });
        let limiters = Limiters {
            register: Limiter::new(settings.register_rate, settings.trusted_proxies.clone()),
            lookup: Limiter::new(settings.lookup_rate, settings.trusted_proxies),
        };
        let internal = internal.map(|listener| {
            let bound = listener.local_addr().ip();
            listener.serve(http::internal(Arc::clone(&app), bound))
        });
        let public = public.serve(http::public(app, limiters));
        tracing::info!(
            %domain,
            address = %public.local_addr(),
            internal = internal.as_ref().map(|internal| tracing::field::display(internal.local_addr())),
            "the home server is up"
        );
        Ok(Self { domain, public, internal, broker, registry })
    }

    /// Tells where the public listener is bound.
    pub fn local_addr(&self) -> SocketAddr {
        self.public.local_addr()
    }

    /// Tells where the internal listener is bound, if there is one.
    pub fn internal_addr(&self) -> Option<SocketAddr> {
        self.internal.as_ref().map(Running::local_addr)
    }

    /// Tells the home's name.
    pub fn domain(&self) -> &Home {
        &self.domain
    }

    /// Ends the server: requests and logins that have come in are answered, then the registry is closed.
    pub async fn shutdown(self) {
        self.public.shutdown(GRACE).await;
        if let Some(internal) = self.internal {
            internal.shutdown(GRACE).await;
        }
        self.broker.shutdown(GRACE).await;
        self.registry.close().await;
        tracing::info!("the home server has ended");
    }
}

//! What an operator decides about the server.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use async_nats::ServerAddr;
use kez_core::handle::{Home, Policy};
use kez_service::client::TrustedProxies;
use kez_service::process::WrongSetting;
use kez_service::rate::Rate;
use url::Url;

use crate::clock::Clock;
use crate::secret::ServerSecret;

/// The settings of a [`Server`](crate::Server).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// Where the public HTTP listener binds. Port 0 takes a free one.
    pub bind: SocketAddr,
    /// Where the internal listener binds, a free loopback port by default; `None` for no such listener. Whoever
    /// reaches it can have logins judged: keep it from the public.
    pub internal_bind: Option<SocketAddr>,
    /// The home's name, the part after `@` of its handles. `None` names it `localhost:<bound port>`, which only a
    /// loopback bind may do.
    pub domain: Option<Home>,
    /// The broker as this server dials it; several nodes of a cluster are separated by commas.
    pub nats_url: String,
    /// The broker as clients dial it; empty: `nats_url`. Clients refuse anything but `tls://` and `wss://` outside
    /// of development.
    pub nats_public_urls: Vec<String>,
    /// The sigchain server as this server dials it.
    pub sig_url: String,
    /// The sigchain server as clients dial it; `None`: `sig_url`.
    pub sig_public_url: Option<String>,
    /// The registry's SQLite file.
    pub db_path: PathBuf,
    /// The server's secret.
    pub secret: ServerSecret,
    /// Iroh relays that the home offers to its people.
    pub relay_urls: Vec<String>,
    /// Whether plain transports and ports after any host are allowed.
    pub policy: Policy,
    /// Copies that the broker keeps of each stream: 1, or 3 on a cluster.
    pub stream_replicas: u8,
    /// How many registrations and retirements one client may ask for. 20 an hour unless set: a mobile network's
    /// customers share an address.
    pub register_rate: Rate,
    /// How many other requests one client may make. 1,200 a minute unless set.
    pub lookup_rate: Rate,
    /// Whose `X-Forwarded-For` tells the client. Nobody's unless set.
    pub trusted_proxies: TrustedProxies,
    /// How long the endpoints that a profile hints at are told before the sigchain server is asked again. A minute
    /// unless set.
    pub endpoints_fresh_for: Duration,
    /// How many bytes may wait that one person sent on one day, to whomever. Who goes above is taken for a flooder:
    /// blocked, disconnected, and what they sent is purged. 64 MiB unless set; 0: nobody is.
    pub flood_limit_bytes: u64,
    /// How often the broker's inboxes are gone through for what is nobody's, and for floods. Every 10 seconds unless set.
    pub sweep_every: Duration,
    /// For how long an inbox stays whose owner is not in the registry: a day by default, in which an operator can notice
    /// that it is an older copy.
    pub leftovers_stay: Duration,
    /// Where the time comes from. The machine's clock unless set.
    pub clock: Clock,
}

/// The settings after they were checked, in the form that the rest of the server uses.
#[derive(Clone, Debug)]
pub(crate) struct Checked {
    pub(crate) nats: Vec<ServerAddr>,
    pub(crate) nats_public_urls: Vec<String>,
    pub(crate) sig_url: String,
    pub(crate) sig_public_url: String,
    pub(crate) relay_urls: Vec<String>,
}

impl Settings {
    /// Takes what has no default; everything else is set for production on one machine.
    pub fn new(
        bind: SocketAddr,
        nats_url: impl Into<String>,
        sig_url: impl Into<String>,
        db_path: impl Into<PathBuf>,
        secret: ServerSecret,
    ) -> Self {
        Self {
            bind,
            internal_bind: Some((Ipv4Addr::LOCALHOST, 0).into()),
            domain: None,
            nats_url: nats_url.into(),
            nats_public_urls: Vec::new(),
            sig_url: sig_url.into(),
            sig_public_url: None,
            db_path: db_path.into(),
            secret,
            relay_urls: Vec::new(),
            policy: Policy::Production,
            stream_replicas: 1,
            register_rate: Rate::per_hour(20),
            lookup_rate: Rate::per_minute(1200),
            trusted_proxies: TrustedProxies::default(),
            endpoints_fresh_for: Duration::from_secs(60),
            flood_limit_bytes: 64 << 20,
            sweep_every: Duration::from_secs(10),
            leftovers_stay: Duration::from_hours(24),
            clock: Clock::system(),
        }
    }

    pub(crate) fn check(&self) -> Result<Checked, WrongSetting> {
        let (nats_schemes, http_schemes): (&[_], &[_]) = match self.policy {
            Policy::Production => (&["tls", "wss"], &["https"]),
            Policy::Development => (&["tls", "wss", "nats", "ws"], &["https", "http"]),
        };
        let nats_urls: Vec<_> = self.nats_url.split(',').map(|url| url.trim().to_owned()).collect();
        let nats = parse_nats(&self.nats_url)?;
        let nats_public_urls = match self.nats_public_urls.as_slice() {
            [] => nats_urls.clone(),
            urls => urls.to_vec(),
        };
        for url in &nats_public_urls {
            check_url("NATS_PUBLIC_URLS", url, nats_schemes)?;
        }
        let sig_url = check_base("SIG_SERVER_URL", &self.sig_url, &["https", "http"])?;
        let sig_public_url = self.sig_public_url.as_ref().unwrap_or(&self.sig_url);
        let sig_public_url = check_base("SIG_PUBLIC_URL", sig_public_url, http_schemes)?;
        for url in &self.relay_urls {
            check_url("RELAY_URLS", url, http_schemes)?;
        }
        if self.secret.is_development() {
            self.check_nobody_else_is_near(&nats_urls, &nats_public_urls)?;
        }
        if self.domain.is_none() && !self.bind.ip().is_loopback() {
            let expected = "the home's name, such as kez.lat, since BIND is reachable from elsewhere";
            return Err(wrong("KEZ_DOMAIN", "", expected));
        }
        Ok(Checked { nats, nats_public_urls, sig_url, sig_public_url, relay_urls: self.relay_urls.clone() })
    }

    /// Checks that nothing is reachable from elsewhere, because everybody has the keys.
    fn check_nobody_else_is_near(&self, nats: &[String], nats_public: &[String]) -> Result<(), WrongSetting> {
        let expected = "a loopback address while the development secret is used, which is public knowledge; for \
                        anything else make a secret with `kez-chat-server keygen`";
        for (name, address) in [("BIND", Some(self.bind)), ("INTERNAL_BIND", self.internal_bind)] {
            if let Some(address) = address
                && !address.ip().is_loopback()
            {
                return Err(wrong(name, &address.to_string(), expected));
            }
        }
        for (name, urls) in [("NATS_URL", nats), ("NATS_PUBLIC_URLS", nats_public)] {
            if let Some(url) = urls.iter().find(|url| !is_loopback(url)) {
                return Err(wrong(name, url, expected));
            }
        }
        // A name that others can look up means a proxy in front of a loopback address.
        match &self.domain {
            Some(domain) if !domain.is_localhost() => {
                let expected = "localhost, with or without a port, while the development secret is used, which is public \
                                knowledge; for anything else make a secret with `kez-chat-server keygen`";
                Err(wrong("KEZ_DOMAIN", &domain.to_string(), expected))
            }
            _ => Ok(()),
        }
    }
}

/// Reads `NATS_URL`.
pub(crate) fn parse_nats(urls: &str) -> Result<Vec<ServerAddr>, WrongSetting> {
    urls.split(',')
        .map(str::trim)
        .map(|url| {
            check_url("NATS_URL", url, &["tls", "wss", "nats", "ws"])?;
            url.parse().map_err(|_| wrong("NATS_URL", url, "URLs such as nats://127.0.0.1:4222"))
        })
        .collect()
}

fn check_url(name: &'static str, text: &str, schemes: &[&str]) -> Result<Url, WrongSetting> {
    let expected = || {
        let schemes: Vec<_> = schemes.iter().map(|scheme| format!("{scheme}://")).collect();
        format!("URLs that begin with {} and have no user in them", schemes.join(" or "))
    };
    Url::parse(text)
        .ok()
        .filter(|url| schemes.contains(&url.scheme()) && url.has_host())
        .filter(|url| url.username().is_empty() && url.password().is_none())
        .ok_or_else(|| wrong(name, &without_user(text), &expected()))
}

/// Takes the user out of what may be a URL: it may come with a password or be a token, and errors are logged.
fn without_user(text: &str) -> Cow<'_, str> {
    let Some((before, host)) = text.rsplit_once('@') else { return text.into() };
    let scheme = before.split_once("://").map_or("", |(scheme, _)| scheme);
    format!("{scheme}://…@{host}").into()
}

/// Tells whether a URL leads to this very machine, whoever resolves its host.
pub(crate) fn is_loopback(url: &str) -> bool {
    // Url knows hosts of special schemes only as addresses; those of NATS are texts to it.
    let Ok(url) = Url::parse(url) else { return false };
    let host = url.host_str().unwrap_or_default();
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Checks a URL that paths are appended to, and takes the `/` off its end.
pub(crate) fn check_base(name: &'static str, text: &str, schemes: &[&str]) -> Result<String, WrongSetting> {
    let url = check_url(name, text, schemes)?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong(name, text, "a base URL without query and fragment"));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

fn wrong(name: &'static str, value: &str, expected: &str) -> WrongSetting {
    WrongSetting { name, value: value.to_owned(), expected: expected.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        let secret = ServerSecret::generate(&mut rand::rng());
        let bind = (Ipv4Addr::LOCALHOST, 0).into();
        Settings::new(bind, "tls://nats.kez.lat", "https://sig.kez.lat/", "handles.db", secret)
    }

    #[test]
    fn defaults_follow_the_internal_urls() {
        let checked = settings().check().unwrap();
        assert_eq!(checked.nats_public_urls, ["tls://nats.kez.lat"]);
        assert_eq!(checked.sig_public_url, "https://sig.kez.lat");
    }

    #[test]
    fn a_wrong_value_is_named() {
        type Change = fn(&mut Settings);
        let cases: [(&str, Change); 9] = [
            ("NATS_URL", |s| s.nats_url = "nats://".into()),
            ("NATS_PUBLIC_URLS", |s| s.nats_url = "nats://10.0.0.1".into()),
            ("NATS_PUBLIC_URLS", |s| s.nats_public_urls = vec!["https://kez.lat".into()]),
            ("NATS_PUBLIC_URLS", |s| s.nats_public_urls = vec!["tls://user:pass@kez.lat".into()]),
            ("SIG_SERVER_URL", |s| s.sig_url = "sig.kez.lat".into()),
            ("SIG_PUBLIC_URL", |s| s.sig_url = "http://10.0.0.1:7878".into()),
            ("SIG_PUBLIC_URL", |s| s.sig_public_url = Some("https://sig.kez.lat/?a=b".into())),
            ("RELAY_URLS", |s| s.relay_urls = vec!["http://relay.kez.lat".into()]),
            ("KEZ_DOMAIN", |s| s.bind = ([0, 0, 0, 0], 0).into()),
        ];
        for (name, change) in cases {
            let mut settings = settings();
            change(&mut settings);
            assert_eq!(settings.check().unwrap_err().name, name);
        }
    }

    #[test]
    fn a_users_password_is_not_told() {
        for url in [
            "nats://kez:hunter2@10.0.0.1",
            "nats://hunter2@10.0.0.1",
            "kez:hunter2@10.0.0.1",
            "nats://a@hunter2@10.0.0.1",
        ] {
            let mut settings = settings();
            settings.nats_url = url.into();
            let said = settings.check().unwrap_err().to_string();
            assert!(said.contains("@10.0.0.1\"") && !said.contains("hunter2"), "{said}");
        }
    }

    #[test]
    fn development_allows_plain_transports() {
        let mut settings = settings();
        settings.policy = Policy::Development;
        settings.nats_url = "nats://127.0.0.1:4222".into();
        settings.sig_url = "http://127.0.0.1:7878".into();
        assert!(settings.check().is_ok());
    }

    #[test]
    fn the_development_secret_is_refused_off_loopback() {
        type Change = fn(&mut Settings);
        let local = || {
            let mut settings = settings();
            settings.secret = ServerSecret::development();
            settings.policy = Policy::Development;
            settings.nats_url = "nats://127.0.0.1:4222,nats://localhost:4223,ws://[::1]:8222".into();
            settings
        };
        assert!(local().check().is_ok());
        let cases: [(&str, Change); 10] = [
            ("KEZ_DOMAIN", |s| s.domain = Some(Home::parse("kez.lat", Policy::Production).unwrap())),
            ("BIND", |s| {
                s.bind = ([0, 0, 0, 0], 8080).into();
                s.domain = Some(Home::parse("kez.lat", Policy::Production).unwrap());
            }),
            ("BIND", |s| s.bind = "[::]:8080".parse().unwrap()),
            ("INTERNAL_BIND", |s| s.internal_bind = Some(([10, 0, 0, 1], 8081).into())),
            ("NATS_URL", |s| s.nats_url = "nats://10.0.0.1:4222".into()),
            ("NATS_URL", |s| s.nats_url.push_str(",tls://nats.kez.lat")),
            ("NATS_URL", |s| s.nats_url = "nats://localhost.kez.lat:4222".into()),
            ("NATS_URL", |s| s.nats_url = "nats://127.0.0.1.kez.lat".into()),
            ("NATS_URL", |s| s.nats_url = "nats://0.0.0.0:4222".into()),
            ("NATS_PUBLIC_URLS", |s| s.nats_public_urls = vec!["wss://nats.kez.lat".into()]),
        ];
        for (name, change) in cases {
            let mut settings = local();
            change(&mut settings);
            assert_eq!(settings.check().unwrap_err().name, name);
            settings.secret = ServerSecret::generate(&mut rand::rng());
            let refused = settings.check().is_err();
            assert_eq!(refused, name == "BIND" && settings.domain.is_none(), "{name}: with a secret of one's own");
        }
    }
}

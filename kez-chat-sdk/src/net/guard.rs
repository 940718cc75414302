//! Which addresses are dialled at all (`docs/PROTOCOL.md` §3).
//!
//! An address that came from somebody else could point into the reader's own network. It is judged on the IP that is
//! connected to, after the name was resolved, and again after each redirect.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use bytes::{Bytes, BytesMut};
use kez_core::handle::Policy;
use reqwest::{
    Client, Method, Response, StatusCode,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{CONTENT_TYPE, HeaderValue, IF_NONE_MATCH},
    redirect,
};
use serde::{Serialize, de::DeserializeOwned};
use url::{Host, Url};

use super::{MAX_ANSWER_BYTES, NetError, Problem, REQUEST_TIMEOUT, RESOLVE_TIMEOUT, Roots};

const MAX_REDIRECTS: usize = 2;

/// An HTTP client that keeps to the rules.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    client: Client,
    policy: Policy,
}

impl Http {
    pub(crate) fn new(policy: Policy, roots: &Roots) -> Self {
        let redirects = redirect::Policy::custom(move |attempt| {
            if attempt.previous().len() > MAX_REDIRECTS {
                return attempt.error("more than two redirects");
            }
            match check_url(attempt.url(), policy) {
                Ok(()) => attempt.follow(),
                Err(why) => attempt.error(why),
            }
        });
        let builder = Client::builder()
            .redirect(redirects)
            .timeout(REQUEST_TIMEOUT)
            .dns_resolver(GuardedResolver(policy))
            // Requests are rare. Idle connections, and the timer that would look after them, would outlive a client that is
            // suspended.
            .pool_max_idle_per_host(0)
            .tls_backend_preconfigured(roots.client_config())
            // A proxy would resolve names itself, where nobody judges the addresses.
            .no_proxy()
            .user_agent(concat!("kez-chat/", env!("CARGO_PKG_VERSION")));
        match builder.build() {
            Ok(client) => Self { client, policy },
            Err(error) => unreachable!("the settings above are sound: {error}"),
        }
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, url: &str) -> Result<T, NetError> {
        let (_, bytes) = self.send(Method::GET, url, None, None).await?;
        parse(url, &bytes)
    }

    /// Asks for something of which we have the version with this entity tag (RFC 9110 §13.1.2); `None` if it is still that
    /// one.
    pub(crate) async fn get_unless<T: DeserializeOwned>(&self, url: &str, tag: &str) -> Result<Option<T>, NetError> {
        match self.send(Method::GET, url, None, Some(tag)).await {
            Ok((_, bytes)) => parse(url, &bytes).map(Some),
            Err(NetError::Refused { status: 304, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn post_json(&self, url: &str, body: &impl Serialize) -> Result<StatusCode, NetError> {
        let body = serde_json::to_vec(body).map_err(|error| bad_answer(url, error))?;
        Ok(self.send(Method::POST, url, Some(("application/json", body)), None).await?.0)
    }

    pub(crate) async fn post_jws(&self, url: &str, jws: &str) -> Result<StatusCode, NetError> {
        let body = Some(("application/jose", jws.as_bytes().to_vec()));
        Ok(self.send(Method::POST, url, body, None).await?.0)
    }

    async fn send(
        &self,
        method: Method,
        url: &str,
        body: Option<(&'static str, Vec<u8>)>,
        unless: Option<&str>,
    ) -> Result<(StatusCode, Bytes), NetError> {
        let forbidden = |why| NetError::Forbidden { url: url.to_owned(), why };
        let target = Url::parse(url).map_err(|_| forbidden("it is no URL"))?;
        check_url(&target, self.policy).map_err(forbidden)?;
        let unreachable = |source| NetError::Unreachable { host: host_of(url), source };

        let mut request = self.client.request(method, target);
        if let Some((media_type, body)) = body {
            request = request.header(CONTENT_TYPE, HeaderValue::from_static(media_type)).body(body);
        }
        if let Some(tag) = unless {
            request = request.header(IF_NONE_MATCH, tag);
        }
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let bytes = read_bounded(url, response).await?;
        if status.is_success() {
            return Ok((status, bytes));
        }
        let problem: Problem = serde_json::from_slice(&bytes).unwrap_or_default();
        let said = [problem.detail, problem.title].into_iter().find(|text| !text.is_empty());
        let detail = said.map_or_else(|| status.to_string(), |text| plain(&text));
        let is_code = problem.code.len() <= 40 && problem.code.bytes().all(|byte| byte.is_ascii_alphabetic());
        let code = if is_code { problem.code } else { String::new() };
        Err(NetError::Refused { host: host_of(url), status: status.as_u16(), code, detail })
    }
}

/// Makes a server's words fit for an error message: short, on one line.
fn plain(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).take(300).collect()
}

async fn read_bounded(url: &str, mut response: Response) -> Result<Bytes, NetError> {
    let mut bytes = BytesMut::new();
    while let Some(chunk) =
        response.chunk().await.map_err(|source| NetError::Unreachable { host: host_of(url), source })?
    {
        if bytes.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(bad_answer(url, "it is too long"));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

fn parse<T: DeserializeOwned>(url: &str, bytes: &[u8]) -> Result<T, NetError> {
    serde_json::from_slice(bytes).map_err(|error| bad_answer(url, error))
}

pub(super) fn bad_answer(url: &str, what: impl std::fmt::Display) -> NetError {
    NetError::BadAnswer { host: host_of(url), what: what.to_string() }
}

/// Returns the host in a URL, to be shown.
pub(crate) fn host_of(url: &str) -> String {
    Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_else(|| url.to_owned())
}

/// Judges a URL before it is dialled; names are judged again when they are resolved.
fn check_url(url: &Url, policy: Policy) -> Result<(), &'static str> {
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it carries a user name");
    }
    if url.scheme() != "https" && !(policy == Policy::Development && url.scheme() == "http") {
        return Err("it is not https");
    }
    check_host(url, policy)
}

fn check_host(url: &Url, policy: Policy) -> Result<(), &'static str> {
    let public = match url.host() {
        Some(Host::Ipv4(ip)) => is_public(IpAddr::V4(ip)),
        Some(Host::Ipv6(ip)) => is_public(IpAddr::V6(ip)),
        Some(Host::Domain(_)) => true,
        None => return Err("it names no host"),
    };
    if public || policy == Policy::Development { Ok(()) } else { Err("it is an address of a private network") }
}

/// Judges a broker's URL from the home's list, and every address that its name has now.
pub(crate) async fn check_broker_url(text: &str, policy: Policy) -> Result<(), NetError> {
    let forbidden = |why| NetError::Forbidden { url: text.to_owned(), why };
    let url = Url::parse(text).map_err(|_| forbidden("it is no URL"))?;
    let allowed = match url.scheme() {
        "tls" | "wss" => true,
        "nats" | "ws" => policy == Policy::Development,
        _ => false,
    };
    if !allowed {
        return Err(forbidden("it is neither tls nor wss"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(forbidden("it carries a user name"));
    }
    // `tls` and `nats` are no schemes whose hosts the URL parser reads as addresses.
    let host = url.host_str().ok_or_else(|| forbidden("it names no host"))?;
    if policy == Policy::Development {
        return Ok(());
    }
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let resolved = tokio::time::timeout(RESOLVE_TIMEOUT, tokio::net::lookup_host((name, url.port().unwrap_or(443))));
    let no_address = |source| NetError::NoAddress { host: name.to_owned(), source };
    let addresses = match resolved.await {
        Ok(found) => found.map_err(no_address)?,
        Err(_) => return Err(no_address(io::ErrorKind::TimedOut.into())),
    };
    if addresses.into_iter().all(|address| is_public(address.ip())) {
        Ok(())
    } else {
        Err(forbidden("it is an address of a private network"))
    }
}

/// Resolves names as the system does, and leaves out what may not be dialled.
struct GuardedResolver(Policy);

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = self.0;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> =
                found.filter(|address| policy == Policy::Development || is_public(address.ip())).collect();
            if allowed.is_empty() {
                return Err("the name has no address that may be dialled".into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// Tells whether an address is of the open internet (§3's list, RFC 6890).
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let protocol_assignments = (a, b, c) == (192, 0, 0);
    let benchmarking = a == 198 && (18..20).contains(&b);
    !(ip.is_loopback()
        || ip.is_private()
        || ip.is_link_local()
        || ip.is_multicast()
        || shared
        || protocol_assignments
        || benchmarking
        || a == 0
        || a >= 240)
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, ..] = ip.segments();
    // IPv4 inside IPv6 would be judged twice, differently: mapped, compatible, NAT64, 6to4, Teredo.
    let carries_v4 = (a, b, c, d, e) == (0, 0, 0, 0, 0) && (f == 0 || f == 0xffff)
        || (a, b) == (0x64, 0xff9b)
        || a == 0x2002
        || (a, b) == (0x2001, 0);
    let site_local = a & 0xffc0 == 0xfec0;
    !(ip.is_loopback()
        || ip.is_unspecified()
        || ip.is_multicast()
        || ip.is_unique_local()
        || ip.is_unicast_link_local()
        || site_local
        || carries_v4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_and_disguised_addresses_are_not_public() {
        for ip in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "0.1.2.3",
            "192.0.0.8",
            "198.18.0.1",
            "198.19.255.255",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fdff::1",
            "fec0::1",
            "ff02::1",
            "::ffff:8.8.8.8",
            "::8.8.8.8",
            "64:ff9b::808:808",
            "2002:808:808::1",
            "2001::1",
        ] {
            assert!(!is_public(ip.parse().unwrap()), "{ip}");
        }
        for ip in
            ["8.8.8.8", "100.63.255.255", "100.128.0.1", "172.32.0.1", "198.20.0.1", "2606:4700::1111", "2001:4860::1"]
        {
            assert!(is_public(ip.parse().unwrap()), "{ip}");
        }
    }

    #[test]
    fn urls_are_judged_before_they_are_dialled() {
        let check = |text: &str, policy| check_url(&Url::parse(text).unwrap(), policy);
        assert!(check("https://sig.kez.lat/", Policy::Production).is_ok());
        for bad in [
            "http://sig.kez.lat/",
            "https://u@sig.kez.lat/",
            "https://u:p@kez.lat/",
            "https://127.0.0.1/",
            "https://[::1]/",
            "https://0x7f.1/",
            "ftp://kez.lat/",
        ] {
            assert!(check(bad, Policy::Production).is_err(), "{bad}");
        }
        assert!(check("http://127.0.0.1:7878/", Policy::Development).is_ok());
    }

    #[tokio::test]
    async fn brokers_are_encrypted_and_public() {
        for bad in [
            "nats://kez.lat:4222",
            "ws://kez.lat",
            "tls://127.0.0.1:4222",
            "tls://u@kez.lat",
            "tls://localhost:4222",
            "tls://[::1]:4222",
            "no url",
        ] {
            assert!(check_broker_url(bad, Policy::Production).await.is_err(), "{bad}");
        }
        assert!(check_broker_url("nats://127.0.0.1:4222", Policy::Development).await.is_ok());
    }
}

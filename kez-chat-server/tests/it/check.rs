//! What `check` says of deployments that are well and of those that are not.

use std::path::{Path, PathBuf};

use futures::future::join_all;
use kez_chat_server::ServerSecret;
use kez_testbed::Testbed;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use crate::nats::{Nats, conf_of};
use crate::program::{Ran, run};
use crate::support::{Person, get, json_of, next};

const NOWHERE: &str = "http://127.0.0.1:1";

/// A secret in its file, and a folder for a broker.
struct Site {
    folder: tempfile::TempDir,
    secret: ServerSecret,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let secret = ServerSecret::generate(&mut rand::rng());
        secret.create_file(&folder.path().join("secret")).unwrap();
        Self { folder, secret }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// Checks a broker whose configuration differs from the right one; returns (part, verdict, text) of each finding.
    async fn check_broker(&self, change: impl Fn(String) -> String) -> Vec<(String, String, String)> {
        let right = conf_of(&self.secret, self.folder.path());
        let conf = change(right.clone());
        assert_ne!(conf, right, "the change hit nothing");
        let nats = Nats::start(self.folder.path(), &conf).await;
        self.check(&nats.url).await
    }

    async fn check(&self, nats_url: &str) -> Vec<(String, String, String)> {
        let ran = self.run(nats_url, &["--json"]).await;
        assert_eq!(ran.code, Some(1), "the sigchain server is nowhere: {ran:?}");
        findings(&ran)
    }

    async fn run(&self, nats_url: &str, flags: &[&str]) -> Ran {
        let (secret, db_path) = (self.path("secret"), self.path("handles.db"));
        let environment = [
            ("NATS_URL", nats_url),
            ("SIG_SERVER_URL", NOWHERE),
            ("AUTH_CALLOUT_NKEY_PATH", &secret),
            ("DB_PATH", &db_path),
        ];
        run(&[&["check"], flags].concat(), &environment).await
    }
}

fn findings(ran: &Ran) -> Vec<(String, String, String)> {
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let of = |finding: &Value| (text(&finding["part"]), text(&finding["verdict"]), text(&finding["text"]));
    report["findings"].as_array().unwrap().iter().map(of).collect()
}

/// Asserts what is missing beside the sigchain server, and what was not looked at; returns the first one's text.
#[track_caller]
fn assert_missing(findings: &[(String, String, String)], missing: &str, skipped: &[&str]) -> String {
    let with = |verdict: &str| -> Vec<&str> {
        let with = findings.iter().filter(|finding| finding.1 == verdict).map(|finding| finding.0.as_str());
        with.filter(|part| *part != "sigchains").collect()
    };
    assert_eq!((with("missing"), with("skipped")), (vec![missing], skipped.to_vec()), "{findings:#?}");
    findings.iter().find(|finding| finding.0 == missing).unwrap().2.clone()
}

fn secret_of(testbed: &Testbed) -> PathBuf {
    let path = testbed.folder().join("secret");
    testbed.secret().create_file(&path).unwrap();
    path
}

async fn check_testbed(testbed: &Testbed, secret: &Path, flags: &[&str]) -> Ran {
    let (domain, db_path) = (testbed.domain().to_string(), testbed.folder().join("registry.db"));
    let environment = [
        ("NATS_URL", testbed.nats_url()),
        ("SIG_SERVER_URL", testbed.sig_url()),
        ("AUTH_CALLOUT_NKEY_PATH", secret.to_str().unwrap().to_owned()),
        ("DB_PATH", db_path.to_str().unwrap().to_owned()),
        ("KEZ_DOMAIN", domain),
    ];
    let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    run(&[&["check"], flags].concat(), &environment).await
}

#[tokio::test]
async fn all_is_well_beside_a_server_that_goes_on_undisturbed() {
    let mut testbed = Testbed::start().await.unwrap();
    let secret = secret_of(&testbed);
    let (alice, bob) = (Person::registered(&testbed, "alice").await, Person::registered(&testbed, "bob").await);
    let (alice_on, bob_on) = (alice.connect(&testbed).await, bob.connect(&testbed).await);
    let route = alice.route(&testbed).await;
    let mut inbox = bob_on.inbox().await;
    let before = json_of(get(&testbed, "/v1/info").await).await["nats"]["epoch"].clone();

    // Several at once, with people who log in meanwhile.
    let logins = async {
        for _ in 0..5 {
            alice.connect(&testbed).await;
        }
    };
    // Many, since the server and a check could answer the same login, and then it would be a matter of luck.
    let checks = join_all((0..10).map(|_| check_testbed(&testbed, &secret, &[])));
    let (checks, ()) = tokio::join!(checks, logins);
    let version = checks[0].stdout.lines().find(|line| line.contains("  version ")).unwrap_or_default();
    let expected = format!(
        "\
ok       secret     {secret} is there and its owner's alone
ok       registry   {registry} is the registry of {domain}
ok       sigchains  {sig} is well
ok       broker     {nats} answers
{version}
ok       nonce      the broker sends one, for logins to sign
ok       payload    max_payload is 131072 bytes
ok       jetstream  JetStream is on
ok       inboxes    their user is in account JS
ok       storage    account JS stores up to 2000000000 bytes
ok       streams    both are there
ok       sys        their user is in the system account
ok       logins     the broker asks about them in account AUTH
ok       xkey       the broker seals what it asks to this server's key
ok       issuer     the broker believes this server's answers
ok       users      who is let in is in account KEZ
ok       sharing    accounts KEZ and JS share what they have to
",
        secret = secret.display(),
        registry = testbed.folder().join("registry.db").display(),
        domain = testbed.domain(),
        sig = testbed.sig_url(),
        nats = testbed.nats_url(),
    );
    assert!(version.starts_with("ok       version    nats-server 2."), "{version}");
    for ran in checks {
        assert_eq!((ran.code, ran.stderr.as_str(), ran.stdout.as_str()), (Some(0), "", expected.as_str()));
    }

    // Who was connected still is, and nothing was delivered but what is sent now.
    alice_on.send(&bob.primary, &route, "hello").await;
    let message = next(&mut inbox).await;
    assert_eq!(message.payload, "hello");
    assert!(message.reply.unwrap().contains(".1.1.1."), "the first message of the stream, delivered once");
    assert_eq!(json_of(get(&testbed, "/v1/info").await).await["nats"]["epoch"], before);

    // And with no server there, which check does not need.
    testbed.stop_chat_server().await;
    let ran = check_testbed(&testbed, &secret, &["--json"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(serde_json::from_str::<Value>(&ran.stdout).unwrap()["ok"], true);
    testbed.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_fresh_broker_is_well_without_streams_and_registry() {
    let site = Site::new();
    let nats = Nats::start(site.folder.path(), &conf_of(&site.secret, site.folder.path())).await;
    let found = site.check(&nats.url).await;
    let text_of = |part: &str| found.iter().find(|finding| finding.0 == part).unwrap().2.as_str();
    assert_eq!(text_of("streams"), "not there yet: KEZ_INBOX, KEZ_PRESENCE; the server makes them");
    assert!(text_of("registry").ends_with("handles.db is not there yet; the server makes it"));
    assert!(text_of("sigchains").starts_with("http://127.0.0.1:1 does not answer; start kez-sig-server, or correct"));
    assert!(found.iter().all(|finding| (finding.1 == "ok") == (finding.0 != "sigchains")), "{found:#?}");
    // Nothing was made by looking.
    assert!(!Path::new(&site.path("handles.db")).exists());
    let again = site.check(&nats.url).await;
    assert_eq!(again, found);
}

#[tokio::test]
async fn a_missing_callout_is_named() {
    let site = Site::new();
    let found = site.check_broker(|conf| conf[..conf.find("authorization {").unwrap()].to_owned()).await;
    let text = assert_missing(&found, "logins", &["xkey", "issuer", "users", "sharing"]);
    assert!(text.starts_with("an unknown login did not lead to a callout; put the `authorization`"), "{text}");
}

#[tokio::test]
async fn a_callout_in_another_account_is_named() {
    let site = Site::new();
    let found = site.check_broker(|conf| conf.replace("account: AUTH", "account: SYS")).await;
    let text = assert_missing(&found, "logins", &["xkey", "issuer", "users", "sharing"]);
    assert!(text.contains("whose `account` has to be AUTH"), "{text}");
}

#[tokio::test]
async fn another_issuer_is_named() {
    let site = Site::new();
    let (own, other) = (site.secret.public_keys(), ServerSecret::generate(&mut rand::rng()).public_keys());
    let found = site.check_broker(|conf| conf.replace(&own.issuer, &other.issuer)).await;
    let text = assert_missing(&found, "issuer", &["users", "sharing"]);
    assert!(text.contains(&format!("its `issuer` has to be {}", own.issuer)), "{text}");
}

#[tokio::test]
async fn another_curve_key_is_named() {
    let site = Site::new();
    let (own, other) = (site.secret.public_keys(), ServerSecret::generate(&mut rand::rng()).public_keys());
    let found = site.check_broker(|conf| conf.replace(&own.xkey, &other.xkey)).await;
    let text = assert_missing(&found, "xkey", &["issuer", "users", "sharing"]);
    assert!(text.starts_with("the broker seals what it asks to another key;"), "{text}");
}

#[tokio::test]
async fn a_missing_curve_key_is_named() {
    let site = Site::new();
    let line = format!("xkey: {}", site.secret.public_keys().xkey);
    let found = site.check_broker(|conf| conf.replace(&line, "")).await;
    let text = assert_missing(&found, "xkey", &[]);
    assert!(text.starts_with("the broker asks unsealed,"), "{text}");
}

#[tokio::test]
async fn missing_jetstream_is_named() {
    let site = Site::new();
    // Neither the server's block nor the account's.
    let found = site
        .check_broker(|conf| {
            let (start, end) = (conf.find("jetstream {").unwrap(), conf.find("system_account").unwrap());
            let account = "    jetstream { max_file: 1000000000 }\n";
            format!("{}{}", &conf[..start], &conf[end..]).replace(account, "")
        })
        .await;
    let missing: Vec<_> = found.iter().filter(|finding| finding.1 == "missing").map(|finding| &*finding.0).collect();
    assert_eq!(missing, ["sigchains", "jetstream", "storage"], "{found:#?}");
}

#[tokio::test]
async fn an_account_without_jetstream_is_named() {
    let site = Site::new();
    let found = site.check_broker(|conf| conf.replace("    jetstream { max_file: 1000000000 }\n", "")).await;
    let text = assert_missing(&found, "storage", &["streams"]);
    assert!(text.starts_with("account JS has no JetStream; give it the `jetstream` line of `nats-conf`"), "{text}");
}

#[tokio::test]
async fn the_users_of_the_server_have_to_be_in_their_accounts() {
    let site = Site::new();
    let keys = site.secret.public_keys();
    let (js, auth) = (keys.chat_server, keys.callout_user);
    // The user of the inboxes among those of the logins.
    let found = site
        .check_broker(|conf| {
            conf.replace(&format!("users: [ {{ nkey: {js} }} ]"), "")
                .replace(&format!("{{ nkey: {auth} }} ]"), &format!("{{ nkey: {auth} }}, {{ nkey: {js} }} ]"))
        })
        .await;
    let text = assert_missing(&found, "inboxes", &["storage", "streams", "sharing"]);
    assert!(text.starts_with("the user of the inboxes is in account AUTH and has to be in JS;"), "{text}");

    // The user of the logins among the users.
    let site = Site::new();
    let auth = site.secret.public_keys().callout_user;
    let found = site
        .check_broker(|conf| {
            conf.replace(&format!("AUTH {{ users: [ {{ nkey: {auth} }} ] }}"), "AUTH {}")
                .replace("  KEZ {\n", &format!("  KEZ {{\n    users: [ {{ nkey: {auth} }} ]\n"))
                .replace("account: AUTH", "account: KEZ")
        })
        .await;
    let text = assert_missing(&found, "logins", &["xkey", "issuer", "users", "sharing"]);
    assert!(text.starts_with("the user of the logins needs an account where nobody else is"), "{text}");
}

#[tokio::test]
async fn another_system_account_is_named() {
    let site = Site::new();
    let found = site.check_broker(|conf| conf.replace("system_account: SYS", "system_account: AUTH")).await;
    let missing: Vec<_> = found.iter().filter(|finding| finding.1 == "missing").map(|finding| &*finding.0).collect();
    assert!(missing.contains(&"sys"), "{found:#?}");
}

#[tokio::test]
async fn a_missing_users_account_is_named() {
    let site = Site::new();
    let found = site
        .check_broker(|conf| conf.replace("KEZ {", "OTHERS {").replace("accounts: [KEZ]", "accounts: [OTHERS]"))
        .await;
    let text = assert_missing(&found, "users", &["sharing"]);
    assert!(text.starts_with("users can't be put into account KEZ;"), "{text}");
}

#[tokio::test]
async fn what_is_not_shared_is_named() {
    let site = Site::new();
    let found = site
        .check_broker(|conf| {
            let lines = conf.lines().filter(|line| !line.contains("account: JS, subject: \"kez.deliver.*\""));
            lines
                .filter(|line| !line.contains("account: JS, subject: \"kez.inbox.*.*\""))
                .collect::<Vec<_>>()
                .join("\n")
        })
        .await;
    let text = assert_missing(&found, "sharing", &[]);
    assert!(text.contains("nothing gets through on kez.inbox.*.* and kez.deliver.*;"), "{text}");
}

#[tokio::test]
async fn users_with_jetstream_are_named() {
    let site = Site::new();
    let found = site.check_broker(|conf| conf.replace("  KEZ {\n", "  KEZ {\n    jetstream: enabled\n")).await;
    let text = assert_missing(&found, "sharing", &[]);
    assert!(text.starts_with("users reach JetStream's interface"), "{text}");
}

const BROKER_PARTS: [&str; 9] =
    ["inboxes", "storage", "streams", "sys", "logins", "xkey", "issuer", "users", "sharing"];

#[tokio::test]
async fn a_broker_without_nkeys_sends_no_nonce() {
    let site = Site::new();
    let conf = "listen: \"127.0.0.1:-1\"\njetstream: enabled\n";
    let conf = format!("{conf}store_dir: \"{}\"\n", site.path("store"));
    let found = site.check_broker(|_| conf.clone()).await;
    let text = assert_missing(&found, "nonce", &BROKER_PARTS);
    assert!(text.starts_with("the broker sends no nonce, so nobody can log in by a key: nats.conf has no nkey user;"));
}

#[tokio::test]
async fn a_small_payload_is_named() {
    let site = Site::new();
    let found = site.check_broker(|conf| conf.replace("max_payload: 131072", "max_payload: 32768")).await;
    let text = assert_missing(&found, "payload", &[]);
    assert_eq!(text, "max_payload is 32768 bytes, and messages take 65536; set `max_payload: 131072`");
}

#[tokio::test]
async fn another_brokers_keys_are_named() {
    let (site, other) = (Site::new(), Site::new());
    let nats = Nats::start(other.folder.path(), &conf_of(&other.secret, other.folder.path())).await;
    let found = site.check(&nats.url).await;
    let missing: Vec<_> = found.iter().filter(|finding| finding.1 == "missing").map(|finding| &*finding.0).collect();
    assert_eq!(missing, ["sigchains", "inboxes", "sys", "logins"], "{found:#?}");
}

#[tokio::test]
async fn a_broker_out_of_reach_is_named() {
    let site = Site::new();
    let found = site.check("nats://127.0.0.1:1").await;
    let text = assert_missing(&found, "broker", &BROKER_PARTS);
    assert!(
        text.starts_with("nats://127.0.0.1:1 can't be reached; start nats-server, or correct NATS_URL ("),
        "{text}"
    );
}

#[tokio::test]
async fn each_node_is_looked_at() {
    // Two nodes of which one knows another issuer, as one that was forgotten in a rotation does, and one that is away.
    let (site, forgotten) = (Site::new(), tempfile::tempdir().unwrap());
    let nats = Nats::start(site.folder.path(), &conf_of(&site.secret, site.folder.path())).await;
    let (own, other) = (site.secret.public_keys(), ServerSecret::generate(&mut rand::rng()).public_keys());
    let conf = conf_of(&site.secret, forgotten.path()).replace(&own.issuer, &other.issuer);
    let old = Nats::start(forgotten.path(), &conf).await;
    let found = site.check(&format!("{},{},nats://127.0.0.1:1", nats.url, old.url)).await;
    let missing: Vec<_> = found.iter().filter(|finding| finding.1 == "missing").collect();
    let [_sigchains, issuer, away] = missing[..] else { panic!("{found:#?}") };
    assert_eq!((issuer.0.as_str(), away.0.as_str()), ("issuer", "broker"));
    assert!(issuer.2.starts_with(&format!("{}: the broker does not believe", old.url)), "{}", issuer.2);
    assert!(away.2.starts_with("nats://127.0.0.1:1: nats://127.0.0.1:1 can't be reached;"), "{}", away.2);
    let sharing = found.iter().find(|finding| finding.0 == "sharing").unwrap();
    assert_eq!(sharing.2, format!("{}: accounts KEZ and JS share what they have to", nats.url));
}

#[tokio::test]
async fn what_can_not_be_seen_over_websocket_is_not_called_well() {
    let site = Site::new();
    let conf = conf_of(&site.secret, site.folder.path());
    let conf = format!("{conf}websocket {{ listen: \"127.0.0.1:-1\", no_tls: true }}\n");
    let nats = Nats::start(site.folder.path(), &conf).await;
    let found = site.check(&nats.ws_url.unwrap()).await;
    let with = |verdict: &str| -> Vec<&str> {
        found.iter().filter(|finding| finding.1 == verdict).map(|finding| &*finding.0).collect()
    };
    assert_eq!(with("missing"), ["sigchains"], "{found:#?}");
    assert_eq!(with("skipped"), ["version", "nonce", "payload", "jetstream"], "{found:#?}");
}

/// An old nats-server can't be had as easily as a new one, and only its first line counts.
#[tokio::test]
async fn an_old_broker_is_named() {
    let site = Site::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let info = r#"{"version":"2.9.25","nonce":"abcdefghijklmno","max_payload":131072,"jetstream":true}"#;
        stream.write_all(format!("INFO {info}\r\n").as_bytes()).await.unwrap();
    });
    let found = site.check(&url).await;
    server.await.unwrap();
    let text = assert_missing(&found, "version", &BROKER_PARTS);
    assert_eq!(text, "this is nats-server 2.9.25; install 2.10 or newer, which has auth callout");
}

#[tokio::test]
async fn a_listener_that_is_no_broker_is_named() {
    let site = Site::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"SSH-2.0-OpenSSH\r\n").await.unwrap();
    });
    let found = site.check(&url).await;
    server.await.unwrap();
    let text = assert_missing(&found, "broker", &BROKER_PARTS);
    assert!(text.ends_with("(it does not greet as a nats-server does)"), "{text}");
}

#[cfg(unix)]
#[tokio::test]
async fn an_open_secret_and_another_home_are_named() {
    use std::os::unix::fs::PermissionsExt;
    let testbed = Testbed::start().await.unwrap();
    let secret = secret_of(&testbed);
    std::fs::set_permissions(&secret, PermissionsExt::from_mode(0o644)).unwrap();
    let ran = check_testbed(&testbed, &secret, &["--domain", "kez.example"]).await;
    assert_eq!(ran.code, Some(1));
    assert_eq!(ran.stderr, "error: not all is well; missing: 2\n");
    let (secret, registry) = (secret.display(), testbed.folder().join("registry.db"));
    for line in [
        format!(
            "MISSING  secret     the secret file {secret} has mode 0644, so others can get at it; run `chmod 600 {secret}`"
        ),
        format!(
            "MISSING  registry   {} is the registry of {}, and KEZ_DOMAIN is kez.example; correct one of them",
            registry.display(),
            testbed.domain()
        ),
        "skipped  issuer     not looked at: there is no secret to log in with".to_owned(),
    ] {
        assert!(ran.stdout.lines().any(|found| found == line), "{line}\n{}", ran.stdout);
    }
    testbed.shutdown().await.unwrap();
}

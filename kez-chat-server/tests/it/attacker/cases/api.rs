//! Asking JetStream, the system account and services: any answer but "nobody there" is evidence, and so is any change.

use serde_json::json;

use super::{Case, filled};
use crate::attacker::canary::Scene;

/// Verb and request, with requests that nats-server would take.
const VERBS: [(&str, &str); 56] = [
    ("INFO", ""),
    ("STREAM.CREATE.EVIL", r#"{"name":"EVIL","subjects":["evil.>"],"storage":"memory"}"#),
    ("STREAM.CREATE.MIRROR", r#"{"name":"MIRROR","mirror":{"name":"KEZ_INBOX"},"storage":"memory"}"#),
    ("STREAM.CREATE.SOURCED", r#"{"name":"SOURCED","sources":[{"name":"KEZ_INBOX"}],"storage":"memory"}"#),
    ("STREAM.CREATE.KEZ_INBOX", r#"{"name":"KEZ_INBOX","subjects":["kez.inbox.*.*"],"storage":"memory"}"#),
    ("STREAM.UPDATE.KEZ_INBOX", "{config}"),
    ("STREAM.INFO.KEZ_INBOX", ""),
    ("STREAM.INFO.KEZ_INBOX", r#"{"subjects_filter":"kez.inbox.{A}.*"}"#),
    ("STREAM.INFO.KEZ_PRESENCE", r#"{"subjects_filter":">"}"#),
    ("STREAM.LIST", ""),
    ("STREAM.NAMES", ""),
    ("STREAM.NAMES", r#"{"subject":"kez.inbox.{A}.{b}"}"#),
    ("STREAM.DELETE.KEZ_INBOX", ""),
    ("STREAM.DELETE.KEZ_PRESENCE", ""),
    ("STREAM.PURGE.KEZ_INBOX", ""),
    ("STREAM.PURGE.KEZ_INBOX", r#"{"filter":"kez.inbox.{A}.*"}"#),
    ("STREAM.PURGE.KEZ_PRESENCE", ""),
    ("STREAM.SNAPSHOT.KEZ_INBOX", r#"{"deliver_subject":"{reply}.snapshot"}"#),
    ("STREAM.RESTORE.RESTORED", r#"{"config":{"name":"RESTORED","subjects":["evil.>"]},"state":{}}"#),
    ("STREAM.MSG.GET.KEZ_INBOX", r#"{"seq":{waiting}}"#),
    ("STREAM.MSG.GET.KEZ_INBOX", r#"{"last_by_subj":"kez.inbox.{A}.{b}"}"#),
    ("STREAM.MSG.GET.KEZ_INBOX", r#"{"seq":1,"next_by_subj":"kez.inbox.{A}.*"}"#),
    ("STREAM.MSG.GET.KEZ_PRESENCE", r#"{"last_by_subj":"kez.presence.>"}"#),
    ("STREAM.MSG.DELETE.KEZ_INBOX", r#"{"seq":{waiting}}"#),
    ("STREAM.MSG.DELETE.KEZ_PRESENCE", r#"{"seq":1}"#),
    ("STREAM.PEER.REMOVE.KEZ_INBOX", r#"{"peer":"n1"}"#),
    ("STREAM.LEADER.STEPDOWN.KEZ_INBOX", ""),
    ("STREAM.TEMPLATE.CREATE.EVIL", "{}"),
    ("DIRECT.GET.KEZ_INBOX", r#"{"seq":{waiting}}"#),
    ("DIRECT.GET.KEZ_INBOX.kez.inbox.{A}.{b}", ""),
    ("DIRECT.GET.KEZ_PRESENCE.kez.presence.{A}.{b}", ""),
    ("CONSUMER.CREATE.KEZ_INBOX", r#"{"stream_name":"KEZ_INBOX","config":{"deliver_subject":"kez.deliver.{M}"}}"#),
    (
        "CONSUMER.CREATE.KEZ_INBOX.thief.kez.inbox.{A}.*",
        r#"{"stream_name":"KEZ_INBOX","config":{"name":"thief","filter_subject":"kez.inbox.{A}.*","ack_policy":"none"}}"#,
    ),
    (
        "CONSUMER.DURABLE.CREATE.KEZ_INBOX.lasting",
        r#"{"stream_name":"KEZ_INBOX","config":{"durable_name":"lasting","ack_policy":"explicit"}}"#,
    ),
    (
        "CONSUMER.CREATE.KEZ_PRESENCE.watcher",
        r#"{"stream_name":"KEZ_PRESENCE","config":{"name":"watcher","deliver_subject":"{reply}.presence"}}"#,
    ),
    ("CONSUMER.CREATE.KEZ_INBOX.{A}", r#"{"stream_name":"KEZ_INBOX","config":{consumer}}"#),
    ("CONSUMER.INFO.KEZ_INBOX.{A}", ""),
    ("CONSUMER.LIST.KEZ_INBOX", ""),
    ("CONSUMER.NAMES.KEZ_INBOX", ""),
    ("CONSUMER.DELETE.KEZ_INBOX.{A}", ""),
    ("CONSUMER.PAUSE.KEZ_INBOX.{A}", r#"{"pause_until":"2100-01-01T00:00:00Z"}"#),
    ("CONSUMER.UNPIN.KEZ_INBOX.{A}", r#"{"group":"x"}"#),
    ("CONSUMER.RESET.KEZ_INBOX.{A}", ""),
    ("CONSUMER.MSG.NEXT.KEZ_INBOX.{A}", "1"),
    ("CONSUMER.MSG.NEXT.KEZ_INBOX.{M}", "1"),
    ("CONSUMER.INFO.KEZ_INBOX.{M}", ""),
    ("CONSUMER.LEADER.STEPDOWN.KEZ_INBOX.{A}", ""),
    ("META.LEADER.STEPDOWN", ""),
    ("SERVER.REMOVE", r#"{"peer":"n1"}"#),
    ("SERVER.STREAM.MOVE.JS.KEZ_INBOX", "{}"),
    ("ACCOUNT.PURGE.JS", ""),
    ("ACCOUNT.PURGE.KEZ", ""),
    ("ACCOUNT.STREAM.MOVE.JS.KEZ_INBOX", r#"{"server":"n2"}"#),
    ("ACCOUNT.STREAM.CANCEL_MOVE.JS.KEZ_INBOX", ""),
    ("INFO.", ""),
    ("*", ""),
];

/// Whole subjects beside JetStream's API.
const SUBJECTS: [(&str, &str); 34] = [
    ("$JS._.API.STREAM.DELETE.KEZ_INBOX", ""),
    ("$JS.hub.API.STREAM.INFO.KEZ_INBOX", ""),
    ("$JS.FC.KEZ_INBOX.{A}.x", ""),
    ("$JS.SNAPSHOT.RESTORE.KEZ_INBOX.x", "x"),
    ("$JS.SNAPSHOT.ACK.KEZ_INBOX.x", ""),
    ("$JSC.R.x", ""),
    ("$JSC.ACK.KEZ_INBOX.{A}.x", "+ACK"),
    ("$NRG.V.x", "x"),
    ("$NRG.P.x", "x"),
    ("$KV.bucket.key", "x"),
    ("$SYS.REQ.USER.AUTH", "x.y.z"),
    ("$SYS.REQ.USER.INFO", ""),
    ("$SYS.REQ.USER.{A}.INFO", ""),
    ("$SYS.REQ.SERVER.PING", ""),
    ("$SYS.REQ.SERVER.PING.CONNZ", r#"{"auth":true}"#),
    ("$SYS.REQ.SERVER.PING.SUBSZ", r#"{"subscriptions":true}"#),
    ("$SYS.REQ.SERVER.PING.JSZ", r#"{"streams":true}"#),
    ("$SYS.REQ.SERVER.{server}.KICK", r#"{"cid":{client}}"#),
    ("$SYS.REQ.SERVER.{server}.LDM", r#"{"cid":{client}}"#),
    ("$SYS.REQ.SERVER.{server}.RELOAD", ""),
    ("$SYS.REQ.SERVER.{server}.VARZ", ""),
    ("$SYS.REQ.ACCOUNT.JS.INFO", ""),
    ("$SYS.REQ.ACCOUNT.KEZ.CONNZ", ""),
    ("$SYS.REQ.ACCOUNT.KEZ.SUBSZ", r#"{"subscriptions":true}"#),
    ("$SYS.REQ.ACCOUNT.JS.JSZ", r#"{"streams":true}"#),
    ("$SYS.REQ.ACCOUNT.PING.CONNZ", ""),
    ("$SYS.REQ.ACCOUNT.PING.STATZ", ""),
    ("$SYS.REQ.ACCOUNT.NSUBS", r#"{"subject":"kez.deliver.{A}"}"#),
    ("$SYS.REQ.CLAIMS.UPDATE", "x.y.z"),
    ("$SYS.REQ.CLAIMS.LIST", ""),
    ("$SYS.DEBUG.SUBSCRIBERS", "kez.deliver.{A}"),
    ("$SYS.SERVER.{server}.CLIENT.AUTH.ERR", "{}"),
    ("$SYS.ACCOUNT.KEZ.DISCONNECT", "{}"),
    ("$SRV.PING", ""),
];

pub(super) fn cases() -> Vec<Case> {
    let verbs = VERBS.iter().map(|(verb, request)| (format!("$JS.API.{verb}"), *request));
    let subjects = SUBJECTS.iter().map(|(subject, request)| ((*subject).to_owned(), *request));
    let case = |(subject, request): (String, &'static str)| {
        let name = format!("ask {subject} {request}");
        Case::publish(name.trim_end().to_owned(), move |scene| (fill(&subject, scene), fill(request, scene)))
    };
    verbs.chain(subjects).map(case).collect()
}

fn fill(template: &str, scene: &Scene) -> String {
    let mut config = scene.config.clone();
    config["max_msgs_per_subject"] = json!(1);
    let consumer = json!({
        "name": scene.alice, "durable_name": scene.alice, "filter_subject": format!("kez.inbox.{}.*", scene.alice),
        "deliver_subject": format!("kez.deliver.{}", scene.mallory), "ack_policy": "explicit", "ack_wait": 30_000_000_000_u64,
        "max_ack_pending": 256, "deliver_policy": "all", "num_replicas": 1,
    });
    filled(template, scene)
        .replace("{reply}", &scene.reply)
        .replace("{waiting}", &scene.waiting.to_string())
        .replace("{server}", &scene.server)
        .replace("{client}", &scene.alices_connection.to_string())
        .replace("{config}", &config.to_string())
        .replace("{consumer}", &consumer.to_string())
}

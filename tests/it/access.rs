//! Transport and access with the real processes: who gets in, who does not, and what happens when files change. What each
//! caller may see is the matrix's matter (`tests/sim/access.rs`).

use std::{process::Command, time::Duration};

use proto::v1::{
    FollowRequest, GetReportRequest, GetShareRequest, GetUnitRequest, RegisterUnitsRequest, SubmitReportRequest,
    UnitSelector, feed_service_client::FeedServiceClient, ingest_service_client::IngestServiceClient,
    query_service_client::QueryServiceClient, registry_service_client::RegistryServiceClient, unit::Level,
};
use tempfile::TempDir;
use tests::{
    harness::{FREE_PORT, Service, run, start_query_with, try_start_ingest_with, try_start_query_over},
    secrets::{GOOD, OVER, Secrets},
};
use tonic::{
    Code, Request, Status,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};

use crate::support::{FLAG, eventually, flag_report, indicator, unit};

const HOSTS: [&str; 2] = ["localhost", "127.0.0.1"];

/// A pair behind TLS, with principals, and what callers need.
struct Guarded {
    directory: TempDir,
    secrets: Secrets,
    ingest: Service,
    query: Service,
}

/// A request with a token.
fn with<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

impl Guarded {
    fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let mut secrets = Secrets::begin(&directory.path().join("secrets"), "authority").unwrap();
        secrets.certificate("server", &HOSTS, GOOD).unwrap();
        let replica = secrets.certificate("replica", &["query-service"], GOOD).unwrap();
        let row = serde_json::json!({
            "name": "query-service", "certificate_sha256": replica, "roles": ["replica"], "units": ["*"],
        });
        secrets.add(row).unwrap();
        for (name, roles, units) in [
            ("admin", &["admin"][..], &["*"][..]),
            ("reporter-c0", &["reporter"], &["c0"]),
            ("analyst-d", &["analyst"], &["d"]),
            ("analyst-all", &["analyst"], &["*"]),
        ] {
            secrets.token(name, roles, units).unwrap();
        }
        let path = |name: &str| secrets.path(name);
        let (cert, key, ca, principals) =
            (path("server.pem"), path("server.key"), path("ca.pem"), path("principals.json"));
        let protected = ["--tls-cert", &cert, "--tls-key", &key, "--tls-client-ca", &ca, "--principals", &principals];
        let ingest = try_start_ingest_with(&directory.path().join("ingest"), FREE_PORT, &protected)
            .unwrap_or_else(|ended| panic!("{}", ended.log));
        let (own_cert, own_key) = (path("replica.pem"), path("replica.key"));
        let follows = ["--ingest-ca", &ca, "--ingest-cert", &own_cert, "--ingest-key", &own_key];
        let query = start_query_with(&https(&ingest), FREE_PORT, &[&protected[..], &follows].concat());
        Self { directory, secrets, ingest, query }
    }

    fn token(&self, name: &str) -> String {
        std::fs::read_to_string(self.secrets.path(&format!("{name}.token"))).unwrap()
    }

    /// A connection that trusts the authority, and shows the certificate of that name.
    fn channel(&self, service: &Service, identity: Option<&str>) -> Channel {
        self.try_channel(&https(service), &self.secrets, identity)
    }

    fn try_channel(&self, uri: &str, secrets: &Secrets, identity: Option<&str>) -> Channel {
        let read = |name: String| std::fs::read(secrets.path(&name)).unwrap();
        let trusted = std::fs::read(self.secrets.path("ca.pem")).unwrap();
        let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(trusted)).domain_name("localhost");
        if let Some(name) = identity {
            tls = tls.identity(Identity::from_pem(read(format!("{name}.pem")), read(format!("{name}.key"))));
        }
        Endpoint::from_shared(uri.to_owned()).unwrap().tls_config(tls).unwrap().connect_lazy()
    }

    fn registry(&self) -> RegistryServiceClient<Channel> {
        RegistryServiceClient::new(self.channel(&self.ingest, None))
    }

    fn reports(&self) -> IngestServiceClient<Channel> {
        IngestServiceClient::new(self.channel(&self.ingest, None))
    }

    fn answers(&self) -> QueryServiceClient<Channel> {
        QueryServiceClient::new(self.channel(&self.query, None))
    }

    /// Two communes in a district and one in another, and the flag.
    async fn fill(&self) {
        let admin = self.token("admin");
        let units = vec![
            unit("vn", Level::Country, ""),
            unit("p", Level::Province, "vn"),
            unit("d", Level::District, "p"),
            unit("e", Level::District, "p"),
            unit("c0", Level::Commune, "d"),
            unit("c1", Level::Commune, "d"),
            unit("c2", Level::Commune, "e"),
        ];
        let request = RegisterUnitsRequest { units, complete_from: "2010-01-01".into(), ..Default::default() };
        self.registry().register_units(with(&admin, request)).await.unwrap();
        let indicators = vec![indicator(FLAG, proto::v1::indicator::ValueKind::Flag)];
        let request = proto::v1::DefineIndicatorsRequest { indicators, ..Default::default() };
        self.registry().define_indicators(with(&admin, request)).await.unwrap();
    }

    async fn submit(&self, token: &str, request: SubmitReportRequest) -> Result<i64, Status> {
        let answer = self.reports().submit_report(with(token, request)).await?;
        Ok(answer.into_inner().revision.unwrap())
    }
}

fn https(service: &Service) -> String {
    format!("https://{}", service.address())
}

fn share(under: &str, at_least: Option<i64>) -> GetShareRequest {
    GetShareRequest {
        indicator: FLAG.into(),
        units: Some(UnitSelector { under: under.into(), level: Level::Commune.into(), ids: Vec::new() }),
        on: "2017-06-30".into(),
        at_least_revision: at_least,
        ..Default::default()
    }
}

fn code<T: std::fmt::Debug>(answer: Result<T, Status>) -> Code {
    answer.unwrap_err().code()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guarded_pair_serves_each_caller_what_is_his() {
    let pair = Guarded::start();
    pair.fill().await;
    let (reporter, admin) = (pair.token("reporter-c0"), pair.token("admin"));
    pair.submit(&reporter, flag_report("c0", "t", true)).await.unwrap();
    let elsewhere = pair.submit(&reporter, flag_report("c2", "t", true)).await.unwrap_err();
    let nowhere = pair.submit(&reporter, flag_report("c9", "t", true)).await.unwrap_err();
    assert_eq!((elsewhere.code(), nowhere.code()), (Code::PermissionDenied, Code::PermissionDenied));
    assert_eq!(elsewhere.message().replace("c2", "c9"), nowhere.message(), "nobody learns which is registered");
    let last = pair.submit(&admin, flag_report("c2", "t", false)).await.unwrap();

    let ask = async |token: &str, under: &str| {
        let answer = pair.answers().get_share(with(token, share(under, Some(last)))).await?;
        Ok::<_, Status>(answer.into_inner())
    };
    let all = ask(&pair.token("analyst-all"), "vn").await.unwrap();
    assert_eq!((all.shares[0].yes(), all.shares[0].no(), all.shares[0].expected()), (1, 1, 3));
    assert!(all.meta.unwrap().visible.is_none());
    let part = ask(&pair.token("analyst-d"), "d").await.unwrap();
    assert_eq!((part.shares[0].yes(), part.shares[0].no(), part.shares[0].expected()), (1, 0, 2));
    assert_eq!(part.meta.unwrap().visible.unwrap().units, ["d"], "the answer says so");
    for foreign in ["vn", "e", "x"] {
        assert_eq!(code(ask(&pair.token("analyst-d"), foreign).await), Code::PermissionDenied);
    }
    assert_eq!(code(ask(&reporter, "c0").await), Code::PermissionDenied, "the role asks no questions");
    assert_eq!(code(ask("nonsense", "vn").await), Code::Unauthenticated);
    let without = pair.answers().get_share(share("vn", None)).await;
    assert_eq!(code(without), Code::Unauthenticated);
    let request = RegisterUnitsRequest { units: vec![unit("c7", Level::Commune, "d")], ..Default::default() };
    assert_eq!(code(pair.registry().register_units(with(&reporter, request)).await), Code::PermissionDenied);

    // The log says whose a report is, the audit log who was refused and who has read, and no token stands anywhere.
    let export = pair.directory.path().join("export");
    let lines = [pair.ingest.log(), pair.query.log()].concat();
    drop(pair.ingest);
    let (data, to) = (pair.directory.path().join("ingest"), export.to_str().unwrap());
    let done = run("ingest-service", &["export", "--data", data.to_str().unwrap(), "--to", to]);
    assert!(done.status.success(), "{done:?}");
    let bytes = std::fs::read(&export).unwrap();
    let holds = |word: &str| bytes.windows(word.len()).any(|part| part == word.as_bytes());
    assert!(holds("reporter-c0") && holds("admin") && !holds(&reporter) && !holds(&admin));
    let audited: Vec<serde_json::Value> = lines
        .iter()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|line: &serde_json::Value| line["target"] == "audit")
        .collect();
    let has = |principal: &str, method: &str, decision: &str| {
        audited.iter().any(|line| {
            let is = |field: &str, value: &str| line[field].as_str().is_some_and(|text| text.ends_with(value));
            is("principal", principal) && is("method", method) && line["decision"] == decision
        })
    };
    assert!(has("reporter-c0", "/SubmitReport", "refused") && has("reporter-c0", "/GetShare", "refused"));
    assert!(has("analyst-d", "/GetShare", "allowed") && has("analyst-d", "/GetShare", "refused"));
    assert!(has("", "/GetShare", "refused"), "{audited:#?}");
    assert!(audited.iter().all(|line| line["span"]["request_id"].is_string()), "{audited:#?}");
    assert!(!lines.iter().any(|line| line.contains(&reporter) || line.contains("nonsense")));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_tls_1_3_with_http_2_and_certificates_of_the_authority_get_in() {
    let pair = Guarded::start();
    pair.fill().await;
    let admin = pair.token("admin");
    let get = async |channel: Channel| {
        let request = with(&admin, GetUnitRequest { id: "c0".into(), ..Default::default() });
        RegistryServiceClient::new(channel).get_unit(request).await
    };
    get(pair.channel(&pair.ingest, None)).await.unwrap();
    get(pair.channel(&pair.ingest, Some("replica"))).await.unwrap();
    let plain = Endpoint::from_shared(pair.ingest.uri()).unwrap().connect_lazy();
    assert!(get(plain).await.is_err());
    // A certificate that is over, one of another authority, and one of it that is known here.
    pair.secrets.certificate("over", &["query-service"], OVER).unwrap();
    assert!(get(pair.channel(&pair.ingest, Some("over"))).await.is_err());
    let other = Secrets::begin(&pair.directory.path().join("other"), "authority").unwrap();
    other.certificate("replica", &["query-service"], GOOD).unwrap();
    assert!(get(pair.try_channel(&https(&pair.ingest), &other, Some("replica"))).await.is_err());
    // Whose certificate nobody knows may connect, and is nobody.
    pair.secrets.certificate("stranger", &["query-service"], GOOD).unwrap();
    let follow = async |identity: Option<&str>| {
        FeedServiceClient::new(pair.channel(&pair.ingest, identity)).follow(FollowRequest::default()).await
    };
    assert_eq!(follow(Some("stranger")).await.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(follow(None).await.unwrap_err().code(), Code::Unauthenticated);
    follow(Some("replica")).await.unwrap();
    // Older versions and other protocols, as another program speaks them.
    let Ok(version) = Command::new("openssl").arg("version").output() else {
        println!("there is no openssl: older versions of TLS are not tried");
        return;
    };
    assert!(version.status.success());
    let handshake = |arguments: &[&str]| {
        let address = pair.ingest.address().to_string();
        let ca = pair.secrets.path("ca.pem");
        let done = Command::new("openssl")
            .args(["s_client", "-connect", &address, "-CAfile", &ca, "-verify_return_error", "-brief"])
            .args(arguments)
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        (done.status.success(), String::from_utf8_lossy(&done.stderr).into_owned())
    };
    let (is_good, said) = handshake(&["-tls1_3", "-alpn", "h2"]);
    assert!(is_good && said.contains("TLSv1.3"), "{said}");
    for older in ["-tls1_2", "-tls1_1"] {
        let (is_good, said) = handshake(&[older, "-alpn", "h2"]);
        assert!(!is_good, "{older}: {said}");
    }
    let (is_good, said) = handshake(&["-tls1_3", "-alpn", "http/1.1"]);
    assert!(!is_good, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_and_rights_change_without_a_restart() {
    let mut pair = Guarded::start();
    pair.fill().await;
    let admin = pair.token("admin");
    let before = served_certificate(&pair).await;
    pair.secrets.certificate("server", &HOSTS, GOOD).unwrap();
    eventually(async || (served_certificate(&pair).await != before).then_some(())).await;
    // One that does not fit its key is not taken, and the one before goes on.
    let now = served_certificate(&pair).await;
    std::fs::write(pair.secrets.path("server.pem"), "nonsense").unwrap();
    eventually(async || pair.ingest.log().iter().any(|line| line.contains("stays in force")).then_some(())).await;
    assert_eq!(served_certificate(&pair).await, now);

    // A new principal gets in; one that is taken away does not, and loses the streams that he had opened.
    let fresh = pair.secrets.token("fresh", &["reviewer"], &["d"]).unwrap();
    let last = pair.submit(&admin, flag_report("c0", "t", true)).await.unwrap();
    let report = GetReportRequest { name: format!("reports/{last}"), ..Default::default() };
    eventually(async || pair.reports().get_report(with(&fresh, report.clone())).await.ok()).await;
    let watch = || proto::v1::WatchRequest {
        question: Some(proto::v1::watch_request::Question::Share(share("d", None))),
        ..Default::default()
    };
    let mut answers = pair.answers();
    eventually(async || pair.answers().get_share(with(&fresh, share("d", Some(last)))).await.ok()).await;
    let mut watched = answers.watch(with(&fresh, watch())).await.unwrap().into_inner();
    assert!(watched.message().await.unwrap().is_some());
    pair.secrets.remove("fresh").unwrap();
    let end = loop {
        match watched.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("a stream ended without a reason"),
            Err(status) => break status,
        }
    };
    assert_eq!(end.code(), Code::Unauthenticated, "{end}");
    let refused = eventually(async || pair.reports().get_report(with(&fresh, report.clone())).await.err()).await;
    assert_eq!(refused.code(), Code::Unauthenticated);
    // The follower never noticed: its own rights stand.
    pair.submit(&admin, flag_report("c1", "t", true)).await.unwrap();
}

/// The certificate that the ingest-service shows now.
async fn served_certificate(pair: &Guarded) -> Vec<u8> {
    let address = pair.ingest.address().to_string();
    let shown = tokio::task::spawn_blocking(move || {
        Command::new("openssl")
            .args(["s_client", "-connect", &address, "-tls1_3", "-alpn", "h2", "-showcerts"])
            .stdin(std::process::Stdio::null())
            .output()
    });
    let shown = shown.await.unwrap().expect("openssl is there");
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    let start = text.find("-----BEGIN CERTIFICATE-----").expect("a certificate is shown");
    text[start..].split("-----END").next().unwrap().as_bytes().to_vec()
}

#[test]
fn nothing_unprotected_listens_to_the_world_unless_told_so() {
    let directory = TempDir::new().unwrap();
    let secrets = Secrets::begin(directory.path(), "authority").unwrap();
    secrets.certificate("server", &HOSTS, GOOD).unwrap();
    let (cert, key) = (secrets.path("server.pem"), secrets.path("server.key"));
    let tls = ["--tls-cert", cert.as_str(), "--tls-key", &key];
    let start = |arguments: &[&str]| {
        let data = TempDir::new().unwrap();
        let ingest = try_start_ingest_with(data.path(), "0.0.0.0:0", arguments).map(drop);
        let query = try_start_query_over(data.path(), "http://127.0.0.1:1", "0.0.0.0:0", arguments).map(drop);
        [ingest, query]
    };
    for (arguments, word) in [
        (&[][..], "--allow-plaintext"),
        (&["--allow-anonymous"], "--tls-cert"),
        (&["--allow-plaintext"], "--allow-anonymous"),
        (&tls, "--principals"),
        (&tls[..2], "--tls-key"),
    ] {
        for ended in start(arguments) {
            let ended = ended.expect_err("it must not listen");
            assert_eq!(ended.status.code(), Some(64), "{}", ended.log);
            assert!(ended.log.contains(word), "{arguments:?}: {}", ended.log);
        }
    }
    for started in start(&["--allow-plaintext", "--allow-anonymous"]) {
        started.expect("it was told so");
    }
    for started in start(&[&tls[..], &["--allow-anonymous"]].concat()) {
        started.expect("it was told so");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_handshake_is_given_up_and_keeps_nobody_out() {
    let pair = Guarded::start();
    let silent: Vec<std::net::TcpStream> =
        (0..50).map(|_| std::net::TcpStream::connect(pair.ingest.address()).unwrap()).collect();
    pair.fill().await;
    for stream in silent {
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let ended = tokio::task::spawn_blocking(move || std::io::Read::read(&mut &stream, &mut [0; 16]));
        assert_eq!(ended.await.unwrap().unwrap(), 0, "it is closed");
    }
}

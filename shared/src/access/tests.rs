use std::io::Write;

use tower::ServiceExt;

use super::*;
use crate::{clock::SystemClock, model::access::Scope};

fn access(principals: Option<&str>) -> (Access, tempfile::NamedTempFile) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(principals.unwrap_or_default().as_bytes()).unwrap();
    let config = AccessConfig { principals: principals.map(|_| file.path().to_owned()), ..Default::default() };
    (Access::load(&config, Arc::new(SystemClock)).unwrap(), file)
}

fn principals() -> String {
    let hex = |token: &str| sha256(token.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let row = |name: &str, role: &str, more: &str| {
        format!(r#"{{"name": "{name}", "token_sha256": "{}", "roles": ["{role}"], "units": ["*"]{more}}}"#, hex(name))
    };
    let late = r#", "not_after": "2001-01-01T00:00:00Z""#;
    let rows = [row("reporter", "reporter", ""), row("analyst", "analyst", ""), row("late", "analyst", late)];
    format!(r#"{{"principals": [{}]}}"#, rows.join(","))
}

/// Asks through the layer; the code, and the name of the caller that the handler has seen.
async fn ask(access: &Access, path: &str, authorizations: &[&str]) -> (Code, Option<String>) {
    let service = tower::service_fn(|request: Request<Body>| async move {
        let caller = request.extensions().get::<Arc<Caller>>().unwrap();
        let answer = Response::builder().header("caller", caller.name.as_str());
        Ok::<_, std::convert::Infallible>(answer.body(Body::empty()).unwrap())
    });
    let mut request = Request::builder().uri(path);
    for authorization in authorizations {
        request = request.header(AUTHORIZATION, *authorization);
    }
    let request = request.body(Body::empty()).unwrap();
    let answer = AccessLayer(access.clone()).layer(service).oneshot(request).await.unwrap();
    let code = Status::from_header_map(answer.headers()).map_or(Code::Ok, |status| status.code());
    (code, answer.headers().get("caller").map(|name| name.to_str().unwrap().to_owned()))
}

const SHARE: &str = "/tonghop.v1.QueryService/GetShare";
const SUBMIT: &str = "/tonghop.v1.IngestService/SubmitReport";

#[tokio::test]
async fn a_call_reaches_its_handler_only_with_a_known_token_and_a_fitting_role() {
    let (access, _file) = access(Some(&principals()));
    for (path, authorizations, expected) in [
        (SHARE, &["Bearer analyst"][..], (Code::Ok, Some("analyst"))),
        (SHARE, &["bearer analyst"], (Code::Ok, Some("analyst"))),
        (SUBMIT, &["Bearer reporter"], (Code::Ok, Some("reporter"))),
        (SHARE, &["Bearer reporter"], (Code::PermissionDenied, None)),
        (SUBMIT, &["Bearer analyst"], (Code::PermissionDenied, None)),
        (SHARE, &[], (Code::Unauthenticated, None)),
        (SHARE, &["Bearer nobody"], (Code::Unauthenticated, None)),
        (SHARE, &["Bearer late"], (Code::Unauthenticated, None)),
        (SHARE, &["Bearer"], (Code::Unauthenticated, None)),
        (SHARE, &["Basic analyst"], (Code::Unauthenticated, None)),
        (SHARE, &["Bearer  analyst"], (Code::Unauthenticated, None)),
        (SHARE, &["Bearer analyst", "Bearer analyst"], (Code::Unauthenticated, None)),
        ("/tonghop.v1.QueryService/Unheard", &["Bearer analyst"], (Code::Unimplemented, None)),
        ("/tonghop.v1.QueryService/Unheard", &[], (Code::Unauthenticated, None)),
        ("/grpc.health.v1.Health/Check", &[], (Code::Ok, Some(""))),
        ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", &[], (Code::Ok, Some(""))),
        ("/grpc.health.v1.Healthy/Check", &[], (Code::Unauthenticated, None)),
    ] {
        let (code, caller) = ask(&access, path, authorizations).await;
        assert_eq!((code, caller.as_deref()), expected, "{path} {authorizations:?}");
    }
}

#[tokio::test]
async fn without_principals_nobody_is_asked() {
    let (access, _file) = access(None);
    assert!(!access.is_asked());
    assert_eq!(ask(&access, SUBMIT, &[]).await, (Code::Ok, Some(String::new())));
    assert_eq!(ask(&access, SHARE, &["Bearer whatever"]).await.0, Code::Ok);
}

#[test]
fn settings_that_protect_nothing_are_refused() {
    let load = |config: AccessConfig| Access::load(&config, Arc::new(SystemClock)).map(|_| ());
    let keys = Some(PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src/access/jwt/rsa_public.pem")));
    assert!(load(AccessConfig { principals: Some("/nowhere".into()), ..Default::default() }).is_err());
    assert!(load(AccessConfig { jwt_keys: keys.clone(), ..Default::default() }).is_err(), "no issuer");
    let issuer = Some("i".to_owned());
    let half = AccessConfig { jwt_keys: keys.clone(), jwt_issuer: issuer.clone(), ..Default::default() };
    assert!(load(half).is_err(), "no audience");
    let whole =
        AccessConfig { jwt_keys: keys, jwt_issuer: issuer, jwt_audience: Some("a".to_owned()), ..Default::default() };
    assert_eq!(load(whole), Ok(()));
}

#[test]
fn what_is_not_there_and_what_is_not_shown_is_told_alike() {
    let part = Caller { scope: Scope::of_list(&["a"]).unwrap(), ..Caller::nobody() };
    let faults = [
        Fault::new(Reason::ReportNotFound, "there is no reports/7"),
        Fault::at("units.ids", Reason::UnitNotFound, "unit x is not registered"),
    ];
    for fault in faults {
        assert_eq!(told(&Caller::unasked(), fault.clone()), fault);
        let told = told(&part, fault.clone());
        assert_eq!(told.reason, Reason::PermissionDenied);
        assert!(told.violations.iter().all(|violation| violation.reason == Reason::PermissionDenied));
        assert!(
            !told.message.contains("not registered") && !format!("{:?}", told.violations).contains("not registered")
        );
    }
}

//! Who calls, and whether he may. One layer around every call, inside of [`crate::call`] and outside of [`crate::admit`], so
//! that whoever may not call takes nobody's place.
//!
//! | who calls is known by | |
//! |---|---|
//! | `authorization: Bearer …` | a token of the file of principals, or a JSON web token |
//! | a client certificate | its SHA-256 in the file of principals; may be needed beside a token |
//! | neither | UNAUTHENTICATED, whatever the call is |
//!
//! What is not in the table of rules nobody may call; a call for which the roles do not suffice is PERMISSION_DENIED before
//! its body is read. About which units a call may speak is judged by the handlers, against the newest register, with
//! [`crate::registry::Registry::sees`]. Without principals and keys nobody is asked who he is.

mod guard;
mod jwt;
mod principals;
mod rules;

use std::{
    net::SocketAddr,
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderMap, Request, Response, header::AUTHORIZATION};
use ring::digest::{SHA256, digest};
use tonic::{Code, Status, body::Body};
use tower::{Layer, Service};

use self::{
    guard::Guarded,
    jwt::{Expected, Keys},
    principals::Principals,
    rules::Rules,
};
use crate::{
    clock::Clock,
    config::AccessConfig,
    model::{
        access::Caller,
        fault::{Fault, Reason},
    },
    reloaded::Reloaded,
    serve::Stop,
    status::{reason_name, status},
};

pub use self::principals::NAME_CHARS_MAX;

/// A SHA-256.
pub type Digest = [u8; 32];

/// The SHA-256 of these bytes, as the file of principals holds it.
pub fn sha256(bytes: &[u8]) -> Digest {
    let mut sum = [0; 32];
    sum.copy_from_slice(digest(&SHA256, bytes).as_ref());
    sum
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Where it is.
    pub address: SocketAddr,
    /// The SHA-256 of the certificate that it has shown.
    pub certificate: Option<Digest>,
}

/// What is known of callers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Access {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Arc<dyn Clock>,
    rules: Rules,
    principals: Option<Arc<Reloaded<Principals>>>,
    keys: Option<Arc<Reloaded<Keys>>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access").field("principals", &self.principals).field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl Access {
    /// What the files of the settings say.
    ///
    /// # Errors
    /// What is wrong with the settings or the files.
    pub fn load(config: &AccessConfig, clock: Arc<dyn Clock>) -> Result<Self, String> {
        let principals = config.principals.clone().map(|path| {
            Reloaded::load(vec![path], |files| Principals::read(files.first().map_or(&[][..], Vec::as_slice)))
        });
        let expected = |what: &Option<String>, flag: &str| {
            what.clone().filter(|what| !what.is_empty()).ok_or_else(|| format!("--jwt-keys needs {flag}"))
        };
        let keys = config.jwt_keys.clone().map(|path: PathBuf| {
            let issuer = expected(&config.jwt_issuer, "--jwt-issuer")?;
            let expected = Expected { issuer, audience: expected(&config.jwt_audience, "--jwt-audience")? };
            Reloaded::load(vec![path], move |files| {
                Keys::read(files.first().map_or(&[][..], Vec::as_slice), expected.clone())
            })
        });
        let shared =
            Shared { clock, rules: rules::of_the_api(), principals: principals.transpose()?, keys: keys.transpose()? };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Reads files again when they change, until the service stops.
    pub fn keep_fresh(&self, stop: &Stop) {
        if let Some(principals) = self.shared.principals.clone() {
            tokio::spawn(principals.keep_fresh(stop.token.clone()));
        }
        if let Some(keys) = self.shared.keys.clone() {
            tokio::spawn(keys.keep_fresh(stop.token.clone()));
        }
    }

    /// Whether callers are asked who they are.
    pub fn is_asked(&self) -> bool {
        self.shared.principals.is_some() || self.shared.keys.is_some()
    }

    /// Who calls.
    ///
    /// # Errors
    /// Why that is not known, for the log.
    fn authenticate(&self, headers: &HeaderMap, peer: Option<&Peer>) -> Result<Caller, String> {
        let certificate = peer.and_then(|peer| peer.certificate.as_ref());
        let principals = self.shared.principals.as_ref().map(|principals| principals.get());
        let now = self.shared.clock.now();
        let mut given = headers.get_all(AUTHORIZATION).iter();
        let caller = match (given.next(), given.next()) {
            (None, _) => {
                let known =
                    certificate.and_then(|certificate| principals.as_ref()?.by_certificate(certificate).cloned());
                known.ok_or_else(|| "neither a token nor a known certificate".to_owned())?
            }
            (Some(_), Some(_)) => return Err("more than one authorization".to_owned()),
            (Some(given), None) => {
                let text = given.to_str().map_err(|_| "the authorization is no text".to_owned())?;
                let (scheme, token) =
                    text.split_once(' ').ok_or_else(|| "the authorization has no scheme".to_owned())?;
                if !scheme.eq_ignore_ascii_case("bearer") {
                    return Err("the authorization is no bearer token".to_owned());
                }
                let digest = sha256(token.as_bytes());
                let known =
                    principals.as_ref().and_then(|principals| principals.by_token(&digest, certificate).cloned());
                match (known, &self.shared.keys) {
                    (Some(known), _) => known,
                    (None, Some(keys)) => return keys.get().caller(token, &digest, certificate, now),
                    (None, None) => return Err("the token is not known".to_owned()),
                }
            }
        };
        if caller.until.is_some_and(|until| now > until) {
            return Err("the principal's time is over".to_owned());
        }
        Ok(caller)
    }

    /// Who calls, if he may make that call at all; none for a call that everybody may make.
    fn check(&self, path: &str, headers: &HeaderMap, peer: Option<&Peer>) -> Result<Arc<Caller>, Box<Refused>> {
        if !self.is_asked() {
            return Ok(Arc::new(Caller::unasked()));
        }
        if rules::is_open(path) {
            return Ok(Arc::new(Caller::nobody()));
        }
        let caller = self.authenticate(headers, peer).map_err(|why| {
            let message =
                "who calls is not known; send a valid token as authorization: Bearer, or show a known certificate";
            Box::new(Refused { caller: None, fault: Fault::new(Reason::Unauthenticated, message), why })
        })?;
        let Some(rule) = self.shared.rules.get(path) else {
            let fault = Fault::new(Reason::UnknownMethod, "there is no such method; ask reflection what there is");
            return Err(Box::new(Refused { caller: Some(caller), fault, why: "no rule".to_owned() }));
        };
        if !rule.admits(&caller) {
            let fault = Fault::new(Reason::PermissionDenied, "the roles of this caller do not allow this call");
            return Err(Box::new(Refused { caller: Some(caller), fault, why: "roles".to_owned() }));
        }
        Ok(Arc::new(caller))
    }
}

/// A call that is not made.
struct Refused {
    caller: Option<Caller>,
    fault: Fault,
    /// For the log.
    why: String,
}

/// Who makes a call; nobody, who may do nothing, where no layer has said it.
pub fn caller<T>(request: &tonic::Request<T>) -> Arc<Caller> {
    request.extensions().get::<Arc<Caller>>().cloned().unwrap_or_else(|| Arc::new(Caller::nobody()))
}

/// The refusal of a unit or a report that a caller has no rights over, or that is not there: nobody learns which.
pub fn denied(what: &str) -> Fault {
    let message = format!("this caller has no rights over {what}, or there is none of that name");
    Fault::new(Reason::PermissionDenied, message)
}

/// A fault as that caller is told it: that a unit is not there is said only to those who see everything.
pub fn told(caller: &Caller, mut fault: Fault) -> Fault {
    if caller.scope.is_everything() {
        return fault;
    }
    let hidden = |reason: Reason| matches!(reason, Reason::UnitNotFound | Reason::UnknownUnit | Reason::ReportNotFound);
    let mut is_hidden = hidden(fault.reason);
    for violation in fault.violations.iter_mut().filter(|violation| hidden(violation.reason)) {
        (violation.reason, violation.message) = (Reason::PermissionDenied, denied("what is named here").message);
        is_hidden = true;
    }
    if is_hidden {
        (fault.reason, fault.message) = (Reason::PermissionDenied, denied("what is named here").message);
    }
    fault
}

/// Notes a decision in the audit log. Accepted writes are not noted: the log itself says whose they are.
pub fn audit(caller: &Caller, method: &str, decision: &'static str, reason: &str) {
    tracing::info!(target: "audit", principal = %caller.name, method, decision, reason, "access");
}

/// Puts [`Guard`] around a service.
#[derive(Clone, Debug)]
pub struct AccessLayer(pub Access);

impl<S> Layer<S> for AccessLayer {
    type Service = Guard<S>;

    fn layer(&self, inner: S) -> Guard<S> {
        Guard { inner, access: self.0.clone() }
    }
}

/// A service that only those reach who may.
#[derive(Clone, Debug)]
pub struct Guard<S> {
    inner: S,
    access: Access,
}

impl<S> Service<Request<Body>> for Guard<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let peer = request.extensions().get::<Peer>().copied();
        let path = request.uri().path().to_owned();
        let caller = match self.access.check(&path, request.headers(), peer.as_ref()) {
            Ok(caller) => caller,
            // Within the answer, which is within the span of the call.
            Err(refused) => {
                return Box::pin(async move {
                    let Refused { caller, fault, why } = *refused;
                    let caller = caller.unwrap_or_else(Caller::nobody);
                    tracing::info!(
                        target: "audit", principal = %caller.name, method = path, decision = "refused",
                        reason = fault.reason.name(), why, from = peer.map(|peer| tracing::field::display(peer.address)),
                        "access"
                    );
                    Ok(status(&fault).into_http())
                });
            }
        };
        request.extensions_mut().insert(caller.clone());
        let rule = self.access.shared.rules.get(&path).filter(|_| self.access.is_asked()).copied();
        let Some(rule) = rule else { return Box::pin(self.inner.call(request)) };
        let again = rule.is_stream.then(|| self.access.again(&path, request.headers(), peer, &caller));
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            let refusal = Status::from_header_map(answer.headers()).filter(|status| status.code() != Code::Ok);
            match &refusal {
                Some(refusal) if refusal.code() == Code::PermissionDenied => {
                    audit(&caller, &path, "refused", &reason_name(refusal).unwrap_or_default());
                }
                _ if !rule.writes => audit(&caller, &path, "allowed", ""),
                _ => {}
            }
            Ok(match again {
                Some(again) if refusal.is_none() => answer.map(|body| Body::new(Guarded::new(body, again))),
                _ => answer,
            })
        })
    }
}

impl Access {
    /// Looks again whether a caller still has the rights with which he opened a stream.
    fn again(
        &self,
        path: &str,
        headers: &HeaderMap,
        peer: Option<Peer>,
        opened_by: &Arc<Caller>,
    ) -> impl Fn() -> Result<(), Fault> + Send + use<> {
        let (access, path, opened_by) = (self.clone(), path.to_owned(), opened_by.clone());
        let headers: HeaderMap =
            headers.get_all(AUTHORIZATION).iter().map(|given| (AUTHORIZATION, given.clone())).collect();
        move || {
            let now = access.check(&path, &headers, peer.as_ref()).map_err(|refused| {
                audit(&opened_by, &path, "refused", refused.fault.reason.name());
                refused.fault
            })?;
            if (&now.name, &now.roles, &now.scope) == (&opened_by.name, &opened_by.roles, &opened_by.scope) {
                return Ok(());
            }
            audit(&opened_by, &path, "refused", "rights changed");
            let message = "the rights of this caller have changed; open the stream again";
            Err(Fault::new(Reason::PermissionDenied, message))
        }
    }
}

#[cfg(test)]
mod tests;

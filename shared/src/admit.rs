//! Who may begin: one admission for the whole process, outside of the handlers.
//!
//! Every call has a class by its method. Each class has a budget of its own, so that no class can starve another:
//!
//! | class | methods | beyond its budget |
//! |---|---|---|
//! | vital | health, reflection, the feed | the budget is so large that only an attack reaches it |
//! | read | unary calls that only read | refused at once |
//! | write | unary calls that write | refused at once |
//! | stream | streams other than these | refused at once |
//!
//! A call has its place until its answer has been taken, and as long as work for it goes on. Work that needs a core runs
//! through [`off_thread`]: reads wait there for a turn, a short time and not too many of them (see `gate`); writes and
//! streams, whose number is bounded already, share turns of their own; vital calls never wait.
//!
//! Whoever is refused is told so before the body of the request is read, with `OVERLOADED` and when to come again.

mod answers;
mod body;
mod gate;
mod method;
mod shapes;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use http::{Request, Response};
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::task::AbortOnDropHandle;
use tonic::body::Body;
use tower::{Layer, Service};
use tracing::Span;

pub use self::answers::Answers;
pub(crate) use self::body::REFUSALS;
use self::{
    body::{Counted, Held},
    gate::{Gate, Turn},
    method::{Class, Methods},
};
use crate::{
    config::LoadConfig,
    limits::{LARGE_MESSAGE_BYTES_MIN, LARGE_MESSAGES_BYTES_MAX, VITAL_CALLS_MAX},
    metrics::count_shed,
    model::fault::{Fault, Reason},
    status::status,
};

/// What one process takes on. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Admission {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    methods: Methods,
    vital: Arc<Semaphore>,
    reads: Arc<Semaphore>,
    writes: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    /// Turns of reads.
    work: Arc<Gate>,
    /// Turns of writes and streams: as many, in the order of arrival; no more wait than there are places.
    patient_work: Arc<Semaphore>,
    /// KiB of large messages.
    large: Arc<Semaphore>,
}

/// The place of a call among those that were admitted.
#[derive(Debug)]
struct Place {
    class: Class,
    shared: Arc<Shared>,
    _call: OwnedSemaphorePermit,
    /// Room for a large message that it has brought.
    large: Mutex<Option<OwnedSemaphorePermit>>,
}

tokio::task_local! {
    static PLACE: Arc<Place>;
}

impl Admission {
    /// The admission of a process with these limits.
    pub fn new(config: &LoadConfig) -> Self {
        let budget = |calls: usize| Arc::new(Semaphore::new(calls.clamp(1, Semaphore::MAX_PERMITS)));
        let shared = Shared {
            methods: Methods::of_the_api(),
            vital: budget(VITAL_CALLS_MAX),
            reads: budget(config.reads_max),
            writes: budget(config.writes_max),
            streams: budget(config.streams_max),
            work: Gate::new(config.work_max, config.queue_max, config.queue_wait_max()),
            patient_work: budget(config.work_max),
            large: budget(LARGE_MESSAGES_BYTES_MAX / 1024),
        };
        Self { shared: Arc::new(shared) }
    }

    /// A place for a call of that class.
    fn enter(&self, class: Class) -> Result<Arc<Place>, Fault> {
        let (budget, what, name) = match class {
            Class::Vital => (&self.shared.vital, "health checks and followers", "vital"),
            Class::Read => (&self.shared.reads, "calls that read", "reads"),
            Class::Write => (&self.shared.writes, "calls that write", "writes"),
            Class::Stream => (&self.shared.streams, "streams", "streams"),
        };
        let permit = budget.clone().try_acquire_owned().map_err(|_| {
            count_shed(name);
            Fault::new(Reason::Overloaded, format!("there are as many {what} as this service takes; try again later"))
        })?;
        Ok(Arc::new(Place { class, shared: self.shared.clone(), _call: permit, large: Mutex::default() }))
    }
}

impl Place {
    /// Makes room for a message of that size in memory, in place of the one before. It is kept as long as the place.
    ///
    /// # Errors
    /// `Overloaded` if large messages take up all the room.
    fn make_room(&self, bytes: usize) -> Result<(), Fault> {
        let mut large = self.large.lock().unwrap_or_else(PoisonError::into_inner);
        if bytes < LARGE_MESSAGE_BYTES_MIN {
            *large = None;
            return Ok(());
        }
        let wanted = bytes.div_ceil(1024);
        let missing = wanted.saturating_sub(large.as_ref().map_or(0, OwnedSemaphorePermit::num_permits));
        let missing = u32::try_from(missing).unwrap_or(u32::MAX);
        let room = self.shared.large.clone().try_acquire_many_owned(missing).map_err(|_| {
            count_shed("large_messages");
            Fault::new(Reason::Overloaded, "too many large messages are being worked on; try again later")
        })?;
        match large.as_mut() {
            Some(large) => large.merge(room),
            None => *large = Some(room),
        }
        Ok(())
    }
}

/// Turns are kept for nothing but being dropped.
#[derive(Debug)]
enum AnyTurn {
    Read { _turn: Turn },
    Patient { _turn: OwnedSemaphorePermit },
}

/// Waits until work for the call of this task may begin; none where nothing has to be waited for.
async fn turn(place: &Place) -> Result<Option<AnyTurn>, Fault> {
    match place.class {
        Class::Vital => Ok(None),
        Class::Read => Ok(Some(AnyTurn::Read { _turn: place.shared.work.turn().await? })),
        // What was written must not be answered with a refusal because it is read again.
        Class::Write | Class::Stream => {
            let turn = place.shared.patient_work.clone().acquire_owned().await;
            Ok(turn.ok().map(|turn| AnyTurn::Patient { _turn: turn }))
        }
    }
}

/// Does something that blocks, or takes long, off the async threads, when its turn has come. The call keeps its place, and
/// the work its turn, until the work is over; work that has not begun when the caller leaves does not begin. A runtime of
/// one thread does it at once: it serves nobody beside, and in a simulation time would stand still meanwhile.
///
/// # Errors
/// What it answers, or the fault with which it unwinds; `Overloaded` if its turn did not come in time; `Internal` if it
/// panics.
pub async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let place = PLACE.try_with(Arc::clone).ok();
    let turn = match &place {
        Some(place) => turn(place).await?,
        None => None,
    };
    let span = Span::current();
    let work = move || {
        let _until_it_is_over = (place, turn);
        span.in_scope(work)
    };
    let done = if Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread {
        catch_unwind(AssertUnwindSafe(work)).map_err(Some)
    } else {
        AbortOnDropHandle::new(tokio::task::spawn_blocking(work)).await.map_err(|error| error.try_into_panic().ok())
    };
    done.unwrap_or_else(|panic| {
        if let Some(fault) = panic.and_then(|panic| panic.downcast::<Fault>().ok()) {
            return Err(*fault);
        }
        // The panic itself has been logged where it happened.
        tracing::error!("work for an answer panicked");
        Err(Fault::new(Reason::Internal, "an unexpected condition; the request id leads to the log"))
    })
}

/// The same work with the place of the call that it is for, so that it can be given to another task.
pub fn in_place<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let place = PLACE.try_with(Arc::clone).ok();
    async move {
        match place {
            Some(place) => PLACE.scope(place, work).await,
            None => work.await,
        }
    }
}

/// Puts [`Admit`] around a service.
#[derive(Clone, Debug)]
pub struct AdmitLayer(pub Admission);

impl<S> Layer<S> for AdmitLayer {
    type Service = Admit<S>;

    fn layer(&self, inner: S) -> Admit<S> {
        Admit { inner, admission: self.0.clone() }
    }
}

/// A service that only the admitted reach.
#[derive(Clone, Debug)]
pub struct Admit<S> {
    inner: S,
    admission: Admission,
}

impl<S> Service<Request<Body>> for Admit<S>
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

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let method = self.admission.shared.methods.of(request.uri().path());
        let place = match check_encoding(&request).and_then(|()| self.admission.enter(method.class)) {
            Ok(place) => place,
            Err(fault) => return Box::pin(async move { Ok(status(&fault).into_http()) }),
        };
        // A stream has its own rule for readers that take nothing.
        let is_unary = matches!(method.class, Class::Read | Class::Write);
        let answers = request.extensions().get::<Arc<Answers>>().filter(|_| is_unary).cloned();
        let shapes = method.input.map(|input| (self.admission.shared.methods.shapes(), input));
        let request = request.map(|body| Body::new(Counted::new(body, shapes, place.clone())));
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = PLACE.scope(place.clone(), answer).await?;
            let held = (place, answers.map(Answers::begin));
            Ok(answer.map(|body| Body::new(Held::new(body, held))))
        })
    }
}

/// The paths of every method of the API.
pub(crate) fn api_paths() -> Vec<String> {
    Methods::of_the_api().into_paths()
}

/// Nothing here reads compressed messages, so none can be larger than it looks.
fn check_encoding(request: &Request<Body>) -> Result<(), Fault> {
    let encoding = request.headers().get("grpc-encoding").filter(|encoding| *encoding != "identity");
    encoding.map_or(Ok(()), |_| {
        Err(Fault::new(Reason::UnsupportedEncoding, "compressed messages are not read; send them as they are"))
    })
}

#[cfg(test)]
mod tests;

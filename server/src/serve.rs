//! Connections: accepted up to a bound, given up when they are silent, and finished when the server stops.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::app::App;
use crate::current::{Current, Reopen};
use crate::limits::Limits;

/// Pause after a connection could not be accepted, for instance because no file handle was left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Asks a running server to stop, from any thread.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<Notify>);

impl Stop {
    /// The server stops accepting and finishes what it accepted; it need not have started yet.
    pub fn stop(&self) {
        self.0.notify_one();
    }
}

/// Serves until [`Stop::stop`] is called or the process is told to end (SIGINT, SIGTERM). Then nothing more is
/// accepted, and what was accepted is finished within [`Limits::shutdown_timeout`]; a second signal ends that.
///
/// # Errors
/// When the event loop cannot be started, when the listener is unusable, or when accepted work was left unfinished.
pub fn serve(app: App, listener: TcpListener, stop: &Stop) -> io::Result<()> {
    serve_current(&Arc::new(Current::new(app)), listener, stop)
}

/// As [`serve`]; when the index is replaced by one of another model, `reopen` says what answers from then on.
pub(crate) fn serve_following(
    app: App,
    listener: TcpListener,
    stop: &Stop,
    reopen: &Reopen<'_>,
) -> io::Result<()> {
    let current = Arc::new(Current::new(app));
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| current.follow(reopen, &ended));
        let served = serve_current(&current, listener, stop);
        ended.store(true, Ordering::Relaxed);
        served
    })
}

fn serve_current(current: &Arc<Current>, listener: TcpListener, stop: &Stop) -> io::Result<()> {
    let limits = current.app().limits.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(limits.reads_max + limits.writes_max + limits.bulks_max + 4)
        .build()?;
    let finished = runtime.block_on(async {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let connections = accept_until(listener, current, &limits, stop).await?;
        Ok::<_, io::Error>(finish(connections, limits.shutdown_timeout).await)
    })?;
    let committed = current.app().close(limits.shutdown_timeout);
    runtime.shutdown_timeout(Duration::from_secs(1));
    match finished && committed {
        true => Ok(()),
        false => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "stopped before all accepted work was finished",
        )),
    }
}

async fn accept_until(
    listener: tokio::net::TcpListener,
    current: &Arc<Current>,
    limits: &Limits,
    stop: &Stop,
) -> io::Result<GracefulShutdown> {
    let connections = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(limits.connections_max));
    let mut told = std::pin::pin!(told_to_end());
    loop {
        let accepted = tokio::select! {
            () = stop.0.notified() => break,
            ended = &mut told => { ended?; break }
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Ok((stream, place)) => attend(stream, place, Arc::clone(current), limits, &connections),
            Err(error) => {
                tracing::warn!("a connection could not be accepted: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    Ok(connections)
}

async fn accept(
    listener: &tokio::net::TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, place))
}

/// Answers the requests of one connection, on a task of its own.
fn attend(
    stream: TcpStream,
    place: OwnedSemaphorePermit,
    current: Arc<Current>,
    limits: &Limits,
    connections: &GracefulShutdown,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout);
    // A connection may outlive what answered its first request.
    let service = service_fn(move |request| TowerToHyperService::new(current.router()).call(request));
    let connection = connections.watch(http.serve_connection(TokioIo::new(stream), service));
    tokio::spawn(async move {
        let _place = place;
        if let Err(error) = connection.await {
            tracing::debug!("a connection broke off: {error}");
        }
    });
}

/// True when every connection came to its end in time.
async fn finish(connections: GracefulShutdown, timeout: Duration) -> bool {
    let open = connections.count();
    tracing::info!(open, "stopping: no more connections are accepted");
    tokio::select! {
        () = connections.shutdown() => true,
        () = tokio::time::sleep(timeout) => false,
        _ = told_to_end() => false,
    }
}

/// Returns when the process is told to end: SIGINT (Ctrl-C) or SIGTERM.
async fn told_to_end() -> io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        Ok(())
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}

//! What machines reach through their network, and what they do not.
#![expect(clippy::print_stderr, reason = "a test that cannot run on this machine says so")]

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use bakelite_local::machine::{BaseRoot, Isolation, Machines};
use bakelite_local::{Limits, NetworkOptions};

use crate::Test;
use crate::ground::{Running, ground, text};

pub(crate) const TESTS: &[Test] = &[
    ("allowed_services_are_reached", allowed_services_are_reached),
    ("this_machine_is_out_of_reach", this_machine_is_out_of_reach),
    ("offline_is_offline", offline_is_offline),
];

/// No test waits longer for an answer.
const LIMIT: Duration = Duration::from_secs(30);

/// A machine with a network of its own kind.
struct Networked {
    machines: Machines,
    machine: Running,
    directory: tempfile::TempDir,
}

impl Networked {
    /// Nothing if this machine's kernel gives a user like this no network.
    fn start(options: NetworkOptions) -> Option<Networked> {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let directory = tempfile::tempdir().unwrap();
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let runtime = &ground().runtime;
        let store = directory.path().join("store");
        let is_offline = options.offline;
        let machines = Machines::open_with(&store, Isolation::Sandbox, Limits::default(), options);
        let machines = runtime.block_on(machines).unwrap();
        if let (false, Some(limit)) = (
            is_offline,
            machines.limits().iter().find(|limit| limit.contains("/dev/net/tun")),
        ) {
            eprintln!("not run: {limit}");
            runtime.block_on(Machines::reset(&store)).unwrap();
            return None;
        }
        let host = runtime.block_on(machines.base(&BaseRoot::Host)).unwrap();
        let mut spec = ground().spec(&host);
        spec.address = Ipv4Addr::new(127, 100, 1, NEXT.fetch_add(1, Ordering::Relaxed));
        let machine = runtime.block_on(machines.start(spec.clone())).unwrap();
        Some(Networked {
            machine: Running::again_borrowed(ground(), &spec, &machine),
            machines,
            directory,
        })
    }

    /// What a script of Perl prints, which fails if it takes too long. `dial(host, port)` answers a connected socket, or the error's name.
    fn perl(&self, script: &str) -> String {
        let program = format!(
            r#"use strict; use IO::Socket::INET; alarm {};
            sub dial {{ my ($host, $port, $proto) = @_;
              IO::Socket::INET->new(PeerAddr => $host, PeerPort => $port, Proto => $proto || "tcp") || (grep {{ $!{{$_}} }} keys %!)[0] }}
            {script}"#,
            LIMIT.as_secs()
        );
        self.machine
            .output("root", &format!("perl -MErrno -e '{}'", program.replace('\'', r"'\''")))
    }

    fn end(self) {
        self.machine
            .end_with(self.machines, &self.directory.path().join("store"));
    }
}

/// A TCP server of the test, which answers what it got when the other side has ended, and counts.
struct Server {
    address: SocketAddr,
    accepted: Arc<AtomicUsize>,
}

impl Server {
    fn on(address: IpAddr) -> Server {
        let listener = TcpListener::bind((address, 0)).unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let server = Server {
            address: listener.local_addr().unwrap(),
            accepted: Arc::clone(&accepted),
        };
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                accepted.fetch_add(1, Ordering::Relaxed);
                std::thread::spawn(move || {
                    let mut stream = stream.unwrap();
                    let mut received = Vec::new();
                    stream.read_to_end(&mut received).unwrap();
                    stream.write_all(&received).ok();
                });
            }
        });
        server
    }
}

/// The address that this machine has for others.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    let address = socket.local_addr().unwrap().ip();
    (!address.is_unspecified() && !address.is_loopback()).then_some(address)
}

fn allowed_services_are_reached() {
    let server = Server::on(Ipv4Addr::LOCALHOST.into());
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .local_addr()
        .unwrap();
    let allowed = [server.address, closed].map(|address| address.to_string().parse().unwrap());
    let networked = Networked::start(NetworkOptions {
        allowed: allowed.to_vec(),
        ..NetworkOptions::default()
    });
    let Some(networked) = networked else { return };
    let refused = networked.perl(&format!(r#"print dial("169.254.169.1", {})"#, closed.port()));
    assert_eq!(refused, "ECONNREFUSED");
    both_directions_and_datagrams(&networked, server.address);
    many_connections_at_once(&networked, server.address.port());
    hostile_packets_end_nothing(&networked, server.address.port());
    a_restart_keeps_the_network(networked, server.address.port());
}

fn both_directions_and_datagrams(networked: &Networked, address: SocketAddr) {
    let port = address.port();
    // Both directions, more than any buffer holds, and an end that is only one side's.
    let echoed = networked.perl(&format!(
        r#"my $s = dial("host.bakelite.internal", {port}); die $s unless ref $s;
        my $sent = join "", map {{ chr($_ % 251) }} 1 .. 3_000_000;
        print $s $sent; $s->shutdown(1); my $got = do {{ local $/; <$s> }};
        print $got eq $sent ? "same" : length $got"#
    ));
    assert_eq!(echoed, "same");
    let datagrams = UdpSocket::bind(address).unwrap();
    datagrams.set_read_timeout(Some(LIMIT)).unwrap();
    let answering = std::thread::spawn(move || {
        let mut buffer = [0; 100];
        let (length, from) = datagrams.recv_from(&mut buffer).unwrap();
        datagrams.send_to(&buffer[..length], from).unwrap();
    });
    let echoed = networked.perl(&format!(
        r#"my $s = dial("host.bakelite.internal", {port}, "udp"); $s->send("datagram"); $s->recv(my $got, 100); print $got"#
    ));
    assert_eq!(echoed, "datagram");
    answering.join().unwrap();
}

fn this_machine_is_out_of_reach() {
    let server = Server::on(Ipv4Addr::UNSPECIFIED.into());
    let datagrams = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    datagrams.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let Some(networked) = Networked::start(NetworkOptions::default()) else {
        return;
    };
    let (port, udp) = (server.address.port(), datagrams.local_addr().unwrap().port());
    let ssh = networked.machine.machine.ssh_address();
    let mut addresses = vec![
        "169.254.169.1".to_owned(),
        "127.41.0.1".to_owned(),
        "127.200.0.1".to_owned(),
        "127.100.200.1".to_owned(),
    ];
    addresses.extend(own_address().map(|address| address.to_string()));
    for address in &addresses {
        let tried = networked.perl(&format!(
            r#"my $s = dial("{address}", {port}); print ref $s ? "connected" : $s"#
        ));
        assert!(
            ["EHOSTUNREACH", "ECONNREFUSED"].contains(&tried.as_str()),
            "{address}: {tried}"
        );
        networked.perl(&format!(
            r#"my $s = dial("{address}", {udp}, "udp"); $s->send("x") if ref $s"#
        ));
    }
    // Its own SSH server is this machine's, too.
    let tried = networked.perl(&format!(
        r#"my $s = dial("{}", {}); print ref $s ? "connected" : $s"#,
        ssh.ip(),
        ssh.port()
    ));
    assert_eq!(tried, "ECONNREFUSED");
    assert_eq!(server.accepted.load(Ordering::Relaxed), 0);
    assert!(datagrams.recv(&mut [0; 10]).is_err());
    names_resolve_as_on_this_machine(&networked);
    let console = text(&networked.machine.machine.console_output());
    assert!(
        console.contains(&format!(
            "bakelite: 169.254.169.1:{port} is closed to instances; -local-allow opens it"
        )),
        "{console}"
    );
    networked.end();
}

fn offline_is_offline() {
    let server = Server::on(Ipv4Addr::LOCALHOST.into());
    let networked = Networked::start(NetworkOptions {
        offline: true,
        allowed: vec![server.address.to_string().parse().unwrap()],
        ..NetworkOptions::default()
    });
    let networked = networked.unwrap();
    let tried = networked.perl(&format!(r#"print dial("169.254.169.1", {})"#, server.address.port()));
    assert_eq!(tried, "ENETUNREACH");
    assert_eq!(server.accepted.load(Ordering::Relaxed), 0);
    networked.machine.output("root", "! grep eth0: /proc/net/dev");
    networked.end();
}

fn names_resolve_as_on_this_machine(networked: &Networked) {
    const NAME: &str = "deb.debian.org";
    let resolve = format!("getent ahostsv4 {NAME} | cut -d ' ' -f 1 | sort -u");
    let outside = std::process::Command::new("sh")
        .args(["-c", &resolve])
        .output()
        .unwrap();
    let outside = text(&outside.stdout).trim_end().to_owned();
    if outside.is_empty() {
        eprintln!("not run: this machine does not resolve {NAME}");
        return;
    }
    let found = networked.machine.output("root", &resolve);
    // Mirrors answer with other addresses each time.
    assert!(
        !found.is_empty() && found.lines().all(|line| line.parse::<Ipv4Addr>().is_ok()),
        "{found}"
    );
    let servers = networked.machine.output("root", "cat /etc/resolv.conf");
    assert!(servers.starts_with("nameserver 169.254.169.253"), "{servers}");
}

fn many_connections_at_once(networked: &Networked, port: u16) {
    let answered = networked.perl(&format!(
        r#"my @all = map {{ dial("169.254.169.1", {port}) }} 1 .. 200; my $right = 0;
        for my $n (0 .. $#all) {{ my $s = $all[$n]; die $s unless ref $s; print $s "connection $n"; $s->flush }}
        for my $n (reverse 0 .. $#all) {{ my $s = $all[$n]; $s->shutdown(1); local $/; $right++ if <$s> eq "connection $n" }}
        print $right"#
    ));
    assert_eq!(answered, "200");
}

/// Root of a machine sends what it likes; its network goes on.
fn hostile_packets_end_nothing(networked: &Networked, port: u16) {
    let echoed = networked.perl(&format!(
        r#"use Socket; socket(my $raw, AF_INET, SOCK_RAW, 255) or die $!;
        srand 7; my $to = pack_sockaddr_in(0, inet_aton("169.254.169.1"));
        for my $n (1 .. 3000) {{
          my $body = join "", map {{ chr int rand 256 }} 1 .. int rand 80;
          my $from = inet_aton(int(rand 2) ? "127.100.1.1" : join ".", map {{ int rand 256 }} 1 .. 4);
          my $head = pack "CCnnnCCna4a4", 0x45, 0, 20 + length $body, $n, int(rand 4) ? 0 : int rand 65536, 64, (1, 6, 17, int rand 256)[int rand 4], 0, $from, inet_aton(int(rand 2) ? "169.254.169.1" : "127.100.1.77");
          send $raw, $head . $body, 0, $to }}
        my $s = dial("169.254.169.1", {port}); die $s unless ref $s; print $s "alive"; $s->shutdown(1); print <$s>"#
    ));
    assert_eq!(echoed, "alive");
}

fn a_restart_keeps_the_network(networked: Networked, port: u16) {
    let id = networked.machine.spec.id.clone();
    let spec = networked.machine.spec.clone();
    let machine = ground().runtime.block_on(async {
        networked.machine.machine.stop().await;
        networked.machines.restart(&id, spec.clone()).await.unwrap()
    });
    let networked = Networked {
        machine: Running::again_borrowed(ground(), &spec, &machine),
        ..networked
    };
    let echoed = networked.perl(&format!(
        r#"my $s = dial("host.bakelite.internal", {port}); die $s unless ref $s; print $s "again"; $s->shutdown(1); print <$s>"#
    ));
    assert_eq!(echoed, "again");
    networked.end();
}

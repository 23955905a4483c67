//! What an instance sends: to services of the host, and under the name of another instance.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::time::Duration;

use crate::cloud::Cloud;
use crate::host::Host;
use crate::{Attack, Needs};

pub(crate) const ATTACKS: &[Attack] = &[
    Attack("services_of_the_host_are_out_of_reach", Needs::BothHosts, services),
    Attack("nobody_sends_under_another_address", Needs::Network, forged),
];

/// A service on all addresses of the host, and everything that an instance can think of to reach it.
fn services(host: Host) {
    let service = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    service.set_nonblocking(true).unwrap();
    let datagrams = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    datagrams.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let own = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    // Sends nothing: the kernel only chooses the address from which it would.
    let own = own
        .connect((Ipv4Addr::new(192, 0, 2, 1), 9))
        .and_then(|()| own.local_addr());
    let own = own.map(|address| address.ip().to_string()).unwrap_or_default();
    let (tcp, udp) = (
        service.local_addr().unwrap().port(),
        datagrams.local_addr().unwrap().port(),
    );
    let arguments = [tcp.to_string(), udp.to_string(), own];
    let arguments: Vec<&str> = arguments
        .iter()
        .map(String::as_str)
        .filter(|argument| !argument.is_empty())
        .collect();
    let printed = host
        .ground()
        .inside(&[], include_str!("scripts/reach.py"), &arguments)
        .succeeds();
    assert_eq!(printed.trim_end(), "tried");
    assert_eq!(service.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    let received = datagrams.recv_from(&mut [0; 8]);
    assert!(received.is_err(), "{received:?}");
}

/// Three instances of a group whose members reach each other: one of them writes another's address into its packets.
fn forged(host: Host) {
    const LISTEN: &str = "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 7777)); open('/tmp/up', 'w'); \
        [open('/tmp/senders', 'a').write(s.recvfrom(9)[1][0] + '\\n') for _ in range(1)]; open('/tmp/got', 'w')";
    let ground = host.ground();
    let cloud = Cloud::serve(&ground, &[]);
    let listen = format!("#!/bin/sh\n/usr/bin/python3 -c \"{LISTEN}\" &\n");
    let (victim, other, attacker) = (cloud.launch(&listen), cloud.launch(""), cloud.launch(""));
    victim.has("/tmp/up");
    let program = format!(
        "import socket; raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
def send(source):
    data = (4000).to_bytes(2, 'big') + (7777).to_bytes(2, 'big') + bytes([0, 9, 0, 0]) + b'x'
    head = bytes([0x45, 0, 0, 29, 0, 1, 0, 0, 64, 17, 0, 0]) + socket.inet_aton(source) + socket.inet_aton('{0}')
    raw.sendto(head + data, ('{0}', 0))
[send('{1}') for _ in range(5)]
send('{2}')",
        victim.address, other.address, attacker.address
    );
    attacker
        .ssh(&format!("sudo /usr/bin/python3 -c \"{program}\""))
        .succeeds();
    victim.has("/tmp/got");
    let senders = victim.ssh("cat /tmp/senders").succeeds();
    assert_eq!(
        senders.trim_end(),
        attacker.address,
        "the forged packets came first, and none of them arrived"
    );
}

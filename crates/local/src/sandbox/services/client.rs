//! The program behind `systemctl` and `journalctl` in a machine: it hands its arguments to the manager of services over a Unix socket, prints
//! what comes back, and ends with the status that comes last.
//!
//! As the built-in `sudo` (`elevate.rs`) it must run on any root, so it is a static ELF file of a few hundred bytes of machine code. It lies in
//! the machine's `/run`, never in an image.

use super::super::elevate::elf;

/// Where it finds the manager.
pub(super) const SOCKET: &str = "/run/bakelite/services";
/// Its names; the manager knows by them what it is asked for.
pub(super) const NAMES: [&str; 2] = ["systemctl", "journalctl"];

/// The ELF file, or `None` on processors that it has not been written for.
pub(in crate::sandbox) fn program() -> Option<Vec<u8>> {
    elf(X86_64, AARCH64, &[ADDRESS, MESSAGE].concat())
}

/// `AF_UNIX` and the path of the socket; lies behind the code.
const ADDRESS: &[u8] = b"\x01\0/run/bakelite/services\0";
/// What it prints when it gets no answer; lies behind the address.
const MESSAGE: &[u8] = b"systemctl: the init of this instance does not answer.\n";

/// ```c
/// fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
/// if (connect(fd, ADDRESS, 25) < 0) goto fail;
/// if (write(fd, argv[0], end of argv[argc - 1] - argv[0]) < 0) goto fail;
/// for (;;) {
///     if ((length = read(fd, buffer, 65536)) < 2) goto fail;
///     if (buffer[0] == 0) exit(buffer[1]);
///     write(buffer[0], buffer + 1, length - 1);
/// }
/// fail: write(2, MESSAGE, 54); exit(1);
/// ```
#[rustfmt::skip]
const X86_64: &[u8] = &[
    0x48, 0x8b, 0x1c, 0x24,                         // movq (%rsp), %rbx
    0x4c, 0x8d, 0x64, 0x24, 0x08,                   // leaq 8(%rsp), %r12
    0xbf, 0x01, 0x00, 0x00, 0x00,                   // movl $1, %edi
    0xbe, 0x05, 0x00, 0x00, 0x00,                   // movl $5, %esi
    0x31, 0xd2,                                     // xorl %edx, %edx
    0xb8, 0x29, 0x00, 0x00, 0x00,                   // movl $41, %eax
    0x0f, 0x05,                                     // syscall
    0x41, 0x89, 0xc5,                               // movl %eax, %r13d
    0x89, 0xc7,                                     // movl %eax, %edi
    0x48, 0x8d, 0x35, 0x9a, 0x00, 0x00, 0x00,       // leaq 154(%rip), %rsi
    0xba, 0x19, 0x00, 0x00, 0x00,                   // movl $25, %edx
    0xb8, 0x2a, 0x00, 0x00, 0x00,                   // movl $42, %eax
    0x0f, 0x05,                                     // syscall
    0x85, 0xc0,                                     // testl %eax, %eax
    0x78, 0x66,                                     // js fail
    0x49, 0x8b, 0x34, 0x24,                         // movq (%r12), %rsi
    0x49, 0x8b, 0x54, 0xdc, 0xf8,                   // movq -8(%r12,%rbx,8), %rdx
    0x80, 0x3a, 0x00,                               // cmpb $0, (%rdx)
    0x48, 0x8d, 0x52, 0x01,                         // leaq 1(%rdx), %rdx
    0x75, 0xf7,                                     // jne 0x41
    0x48, 0x29, 0xf2,                               // subq %rsi, %rdx
    0x44, 0x89, 0xef,                               // movl %r13d, %edi
    0xb8, 0x01, 0x00, 0x00, 0x00,                   // movl $1, %eax
    0x0f, 0x05,                                     // syscall
    0x48, 0x85, 0xc0,                               // testq %rax, %rax
    0x78, 0x42,                                     // js fail
    0x48, 0x81, 0xec, 0x00, 0x00, 0x01, 0x00,       // subq $65536, %rsp
    0x44, 0x89, 0xef,                               // movl %r13d, %edi
    0x48, 0x89, 0xe6,                               // movq %rsp, %rsi
    0xba, 0x00, 0x00, 0x01, 0x00,                   // movl $65536, %edx
    0x31, 0xc0,                                     // xorl %eax, %eax
    0x0f, 0x05,                                     // syscall
    0x48, 0x83, 0xf8, 0x02,                         // cmpq $2, %rax
    0x7c, 0x26,                                     // jl fail
    0x0f, 0xb6, 0x3c, 0x24,                         // movzbl (%rsp), %edi
    0x85, 0xff,                                     // testl %edi, %edi
    0x74, 0x12,                                     // je exit
    0x48, 0x8d, 0x74, 0x24, 0x01,                   // leaq 1(%rsp), %rsi
    0x48, 0x8d, 0x50, 0xff,                         // leaq -1(%rax), %rdx
    0xb8, 0x01, 0x00, 0x00, 0x00,                   // movl $1, %eax
    0x0f, 0x05,                                     // syscall
    0xeb, 0xd1,                                     // jmp 0x63
    // exit:
    0x0f, 0xb6, 0x7c, 0x24, 0x01,                   // movzbl 1(%rsp), %edi
    0xb8, 0x3c, 0x00, 0x00, 0x00,                   // movl $60, %eax
    0x0f, 0x05,                                     // syscall
    // fail:
    0xbf, 0x02, 0x00, 0x00, 0x00,                   // movl $2, %edi
    0x48, 0x8d, 0x35, 0x31, 0x00, 0x00, 0x00,       // leaq 49(%rip), %rsi
    0xba, 0x36, 0x00, 0x00, 0x00,                   // movl $54, %edx
    0xb8, 0x01, 0x00, 0x00, 0x00,                   // movl $1, %eax
    0x0f, 0x05,                                     // syscall
    0xbf, 0x01, 0x00, 0x00, 0x00,                   // movl $1, %edi
    0xb8, 0x3c, 0x00, 0x00, 0x00,                   // movl $60, %eax
    0x0f, 0x05,                                     // syscall
];

/// The same for 64-bit ARM.
#[rustfmt::skip]
const AARCH64: &[u8] = &[
    0xf3, 0x03, 0x40, 0xf9,                         // ldr x19, [sp]
    0xf4, 0x23, 0x00, 0x91,                         // add x20, sp,
    0x20, 0x00, 0x80, 0xd2,                         // mov x0,
    0xa1, 0x00, 0x80, 0xd2,                         // mov x1,
    0x02, 0x00, 0x80, 0xd2,                         // mov x2,
    0xc8, 0x18, 0x80, 0xd2,                         // mov x8,
    0x01, 0x00, 0x00, 0xd4,                         // svc
    0xf5, 0x03, 0x00, 0xaa,                         // mov x21, x0
    0x41, 0x05, 0x00, 0x10,                         // adr x1,
    0x22, 0x03, 0x80, 0xd2,                         // mov x2,
    0x68, 0x19, 0x80, 0xd2,                         // mov x8,
    0x01, 0x00, 0x00, 0xd4,                         // svc
    0xc0, 0x03, 0xf8, 0xb7,                         // tbnz x0,
    0x81, 0x02, 0x40, 0xf9,                         // ldr x1, [x20]
    0x83, 0x0e, 0x13, 0x8b,                         // add x3, x20, x19, lsl
    0x62, 0x80, 0x5f, 0xf8,                         // ldur x2, [x3,
    0x44, 0x14, 0x40, 0x38,                         // ldrb w4, [x2],
    0xe4, 0xff, 0xff, 0x35,                         // cbnz w4, 0x40
    0x42, 0x00, 0x01, 0xcb,                         // sub x2, x2, x1
    0xe0, 0x03, 0x15, 0xaa,                         // mov x0, x21
    0x08, 0x08, 0x80, 0xd2,                         // mov x8,
    0x01, 0x00, 0x00, 0xd4,                         // svc
    0x80, 0x02, 0xf8, 0xb7,                         // tbnz x0,
    0xff, 0x43, 0x40, 0xd1,                         // sub sp, sp,
    0xe0, 0x03, 0x15, 0xaa,                         // mov x0, x21
    0xe1, 0x03, 0x00, 0x91,                         // mov x1, sp
    0x22, 0x00, 0xa0, 0xd2,                         // mov x2,
    0xe8, 0x07, 0x80, 0xd2,                         // mov x8,
    0x01, 0x00, 0x00, 0xd4,                         // svc
    0x1f, 0x08, 0x00, 0xf1,                         // cmp x0,
    0x8b, 0x01, 0x00, 0x54,                         // b.lt fail
    0xe3, 0x03, 0x40, 0x39,                         // ldrb w3, [sp]
    0xe3, 0x00, 0x00, 0x34,                         // cbz w3, exit
    0x02, 0x04, 0x00, 0xd1,                         // sub x2, x0,
    0xe1, 0x07, 0x00, 0x91,                         // add x1, sp,
    0xe0, 0x03, 0x03, 0x2a,                         // mov w0, w3
    0x08, 0x08, 0x80, 0xd2,                         // mov x8,
    0x01, 0x00, 0x00, 0xd4,                         // svc
    0xf2, 0xff, 0xff, 0x17,                         // b 0x60
    // exit:
    0xe0, 0x07, 0x40, 0x39,                         // ldrb w0, [sp,
    0xa8, 0x0b, 0x80, 0xd2,                         // mov x8,
    0x01, 0x00, 0x00, 0xd4,                         // svc
    // fail:
    0x40, 0x00, 0x80, 0xd2,                         // mov x0,
    0xa1, 0x01, 0x00, 0x30,                         // adr x1,
    0xc2, 0x06, 0x80, 0xd2,                         // mov x2,
    0x08, 0x08, 0x80, 0xd2,                         // mov x8,
    0x01, 0x00, 0x00, 0xd4,                         // svc
    0x20, 0x00, 0x80, 0xd2,                         // mov x0,
    0xa8, 0x0b, 0x80, 0xd2,                         // mov x8,
    0x01, 0x00, 0x00, 0xd4,                         // svc
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_is_where_the_code_looks_for_it() {
        assert_eq!((ADDRESS.len(), MESSAGE.len()), (25, 54));
        assert_eq!(&ADDRESS[2..24], SOCKET.as_bytes());
        // The address of an x86 instruction is relative to the end of that instruction.
        let target = |at: usize| at + 7 + usize::from(X86_64[at + 3]);
        let of = |start: &[u8]| {
            X86_64
                .windows(start.len())
                .enumerate()
                .filter(|(_, bytes)| *bytes == start)
                .map(|(at, _)| at)
                .collect::<Vec<_>>()
        };
        let loads: Vec<usize> = of(&[0x48, 0x8d, 0x35]).into_iter().map(target).collect();
        assert_eq!(loads, [X86_64.len(), X86_64.len() + ADDRESS.len()]);
        assert_eq!(AARCH64.len() % 4, 0);
    }
}

"""Machines whose SSH server is set up in another way, or reached in another way."""

from __future__ import annotations

from tests.machines.driver import OLD_HOST_KEY
from tests.machines.machine import ADOPT, Login, Network, OddMachine

_BANNER = "\033[31mAuthorised use only.\033[0m\r\n" + "All that you do is recorded.\n" * 30
_REJECTED = "rejected the password"
_OLD_KEYS = (
    f"HostKey /etc/{OLD_HOST_KEY}",
    "HostKeyAlgorithms ssh-rsa",
    "KexAlgorithms diffie-hellman-group14-sha1",
    "MACs hmac-sha1",
)

SERVERS = (
    OddMachine(
        name="banner",
        summary="a banner of 30 lines with escape sequences, and a message of the day",
        sshd=("Banner /etc/banner", "PrintMotd yes"),
        etc_files={"banner": _BANNER, "motd": _BANNER},
    ),
    OddMachine(name="MaxSessions 1", summary="one channel a connection", sshd=("MaxSessions 1",)),
    OddMachine(
        name="MaxStartups 1", summary="one connection may log in at a time", sshd=("MaxStartups 1:100:1",)
    ),
    OddMachine(name="MaxAuthTries 1", summary="one try to log in a connection", sshd=("MaxAuthTries 1",)),
    OddMachine(name="rekey", summary="new keys are agreed on every 64 KiB", sshd=("RekeyLimit 64K",)),
    OddMachine(
        name="old ciphers",
        summary="the algorithms of 2011 alone: ssh-rsa, group14-sha1, aes128-ctr, hmac-sha1",
        sshd=(*_OLD_KEYS, "Ciphers aes128-ctr,aes256-ctr"),
    ),
    OddMachine(
        name="CBC ciphers",
        summary="the same with ciphers that are broken: aes128-cbc, 3des-cbc",
        sshd=(*_OLD_KEYS, "Ciphers aes128-cbc,3des-cbc"),
        # The server resets the connection, at times before its offer was read: then nobody knows why.
        limits={ADOPT: "not safe enough|does not answer"},
    ),
    OddMachine(
        name="keys moved",
        summary="`AuthorizedKeysFile` lies below /etc, where the user may not write",
        sshd=("AuthorizedKeysFile /etc/ssh/keys/%u",),
    ),
    OddMachine(
        name="forced command",
        summary="`ForceCommand`: a menu in the place of every command",
        sshd=("ForceCommand /opt/bin/menu",),
        programs={"menu": "#!/bin/sh\necho This machine shows a menu, and nothing else.\nexit 1\n"},
        limits={ADOPT: "This machine shows a menu, and nothing else."},
    ),
    OddMachine(
        name="sftp alone",
        summary="`ForceCommand internal-sftp`: files alone, no commands",
        sshd=("ForceCommand internal-sftp",),
        limits={ADOPT: "allows sftp connections only"},
    ),
    OddMachine(
        name="no sftp",
        summary="no SFTP server is installed",
        sshd=("Subsystem sftp /usr/lib/none/sftp-server",),
        limits={"push sftp": "SFTP", "pull sftp": "SFTP"},
    ),
    OddMachine(name="key only", summary="no passwords; adopted with a key of the user's", login=Login.KEY),
    OddMachine(
        name="keyboard-interactive",
        summary="the password is asked for by PAM; `PasswordAuthentication no`",
        sshd=("PasswordAuthentication no", "KbdInteractiveAuthentication yes", "UsePAM yes"),
        etc_files={
            "pam.d/sshd": (
                "auth required pam_exec.so expose_authtok quiet /opt/bin/check-password\n"
                "auth required pam_permit.so\n"
                "account required pam_permit.so\nsession required pam_permit.so\npassword required pam_deny.so\n"
            )
        },
        programs={"check-password": '#!/bin/sh\n[ "$(tr -d \'\\0\')" = "open sesame 7" ]\n'},
    ),
    OddMachine(
        name="no forwarding",
        summary="`AllowTcpForwarding no`",
        sshd=("AllowTcpForwarding no",),
        limits={"forward": "SSH server does not allow forwarding"},
    ),
    OddMachine(
        name="no terminals",
        summary="`PermitTTY no`",
        sshd=("PermitTTY no",),
        limits={"attach": "allows no terminal"},
    ),
    OddMachine(
        name="nologin shell",
        summary="the login shell is `/usr/sbin/nologin`",
        shell_program="/usr/sbin/nologin",
        limits={ADOPT: "This account is currently not available."},
    ),
    OddMachine(
        name="nologin file",
        summary="`/etc/nologin` is there",
        etc_files={"nologin": "Closed for maintenance until noon.\n"},
        limits={ADOPT: "Closed for maintenance until noon."},
    ),
    OddMachine(
        name="password expired",
        summary="the password must be changed at the next login",
        shadow="0:0:99999:7:::",
        limits={ADOPT: "password has expired"},
    ),
    OddMachine(
        name="account expired",
        summary="the account has an end, which has passed",
        shadow="19000:0:99999:7::19001:",
        limits={ADOPT: _REJECTED},
    ),
    OddMachine(
        name="no such shell",
        summary="the login shell does not exist",
        shell_program="/usr/bin/gone",
        limits={ADOPT: _REJECTED},
    ),
    OddMachine(
        name="IPv6",
        summary="reached at an IPv6 address",
        sshd=("ListenAddress ::1",),
        network=Network.IPV6,
    ),
    OddMachine(name="high port", summary="a port above 64,000", network=Network.HIGH_PORT),
    OddMachine(
        name="slow line", summary="a round trip of 300 ms, 100 KB/s", network=Network.SLOW, is_slow=True
    ),
)

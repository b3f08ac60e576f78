"""`sp certificates`: mutual TLS between the services of one SP, renewed."""

from __future__ import annotations

from pathlib import Path

from cli.options import Config, Dir, Json, Sp
from cli.output import print_fields, print_json, say


def certificates(dir: Dir = None, sp: Sp = None, config: Config = None, as_json: Json = False) -> None:
    """Replace this SP's private CA and certificate by new ones, for the host names of its internal endpoints. Restart
    all its services afterwards: those with the old files and those with the new ones do not talk to each other."""
    from dataclasses import asdict

    from cli.context import Where, config_file
    from cli.sp_files import hosts_of
    from sp.domain.errors import InvalidRequest
    from sp.runtime.config import TlsConfig, common
    from sp.runtime.tls import expires_at, make_certificates

    file = config_file(Where(dir, sp, config))
    read = common(file)
    names = hosts_of(asdict(read.endpoint))
    if not read.tls.enabled or not names:
        raise InvalidRequest(f"{file.path} has no [tls], or no internal endpoint that is HOST:PORT")
    folder = Path(read.tls.ca).parent
    if read.tls != TlsConfig(str(folder / "ca.pem"), str(folder / "sp.pem"), str(folder / "sp.key")):
        raise InvalidRequest("[tls] names files that `sp init` did not make: renew them as they were made")
    made = make_certificates(folder, names)
    ends = expires_at(made)
    facts = {"certificate": made.certificate, "names": ", ".join(names), "valid_until": ends.isoformat()}
    if as_json:
        print_json(facts)
        return
    print_fields(facts)
    say("Now restart all services of this SP.")

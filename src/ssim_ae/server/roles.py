"""Who may do what: people and programs with a token, each of which has a role."""

import hmac
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from ssim_ae.console import print_note
from ssim_ae.errors import InputError
from ssim_ae.machine import others_may_read
from ssim_ae.storage import read_file

MIN_TOKEN_LENGTH = 8  # characters, in a file of tokens
_BEARER = HTTPBearer(auto_error=False)
EVERYONE = ""  # the name of whoever uses a server without tokens


class Role(IntEnum):
    """What a token permits; each role permits what the roles before it do."""

    INSPECT = 1  # inspect images, see results and metrics
    REVIEW = 2  # see the log and its images; say what they show
    ADMINISTER = 3  # change the version that the server inspects with

    def __str__(self) -> str:
        return self.name.lower()


class Access(NamedTuple):
    """A token, whose it is, and the role."""

    name: str
    role: Role
    token: str


def read_tokens(path: Path) -> list[Access]:
    """Return the tokens in a file with a line for each: NAME ROLE TOKEN. Lines that begin with # are comments.

    Raises InputError, which shows no token, for anything else.
    """
    try:
        lines = read_file(path).decode().splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file; write a line for each token: NAME ROLE TOKEN") from error
    roles = {str(role): role for role in Role}
    found: list[Access] = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        where = f"{path}, line {number}"
        parts = line.split()
        if len(parts) != 3:
            raise InputError(f"{where}: should be NAME ROLE TOKEN, not {len(parts)} words")
        name, role, token = parts
        if role not in roles:
            raise InputError(f"{where}: unknown role {role!a}; choose one of {', '.join(roles)}")
        check_token(token, where)
        if len(token) < MIN_TOKEN_LENGTH:
            raise InputError(f"{where}: the token is shorter than {MIN_TOKEN_LENGTH} characters; choose a longer one")
        if any(name == other.name or token == other.token for other in found):
            raise InputError(f"{where}: this name or token is there twice; give each its own")
        found.append(Access(name, roles[role], token))
    if not found:
        raise InputError(f"{path}: no tokens; write a line for each: NAME ROLE TOKEN")
    if others_may_read(path):
        print_note(f"{path}: other users of this machine may read the tokens; chmod 600 keeps them out")
    return found


def only_token(token: str) -> list[Access]:
    """Return the access of the only token of a server, which permits everything. Raises InputError as `read_tokens`."""
    check_token(token, "token")
    return [Access("token", Role.ADMINISTER, token)]


def check_token(token: str, where: str) -> None:
    """Raise InputError if a token cannot be sent in a header."""
    if not re.fullmatch(r"[!-~]+", token):
        raise InputError(f"{where}: should consist of printable ASCII characters without spaces")


class RoleRouters:
    """A router for each role: the least one that its routes need."""

    def __init__(self) -> None:
        self._routers = {role: APIRouter() for role in Role}

    def __getitem__(self, role: Role) -> APIRouter:
        return self._routers[role]

    def include_in(self, app: FastAPI, responses: Mapping[int | str, dict[str, Any]]) -> None:
        """Add all routes to an application, which requires a token for them if it has any."""
        for role, router in self._routers.items():
            if app.state.tokens:
                app.include_router(router, dependencies=[Depends(_needs(role))], responses=dict(responses))
            else:
                app.include_router(router)


def person_of(request: Request) -> str:
    """Return the name of whoever sent a request; empty if the server has no tokens."""
    return access_of(request).name


def access_of(request: Request) -> Access:
    """Return the access of whoever sent a request. Without tokens, everyone may do everything."""
    access: Access = getattr(request.state, "access", Access(EVERYONE, Role.ADMINISTER, ""))
    return access


def _needs(role: Role) -> Callable[..., Awaitable[None]]:
    """Return a dependency that checks the token of a request. It raises HTTPException 401 or 403."""

    async def check(
        request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]
    ) -> None:
        access = _find(credentials.credentials if credentials else "", request.app.state.tokens)
        if not access:
            detail = "token: missing or wrong; send a valid Bearer token"
            raise HTTPException(401, detail, {"WWW-Authenticate": "Bearer"})
        if access.role < role:
            raise HTTPException(403, f"token: its role is {access.role}; send one with the role {role}")
        request.state.access = access

    return check


def _find(token: str, known: Sequence[Access]) -> Access | None:
    """Return the access that a token gives, in a time that does not depend on how much of it is right."""
    equal = [access for access in known if hmac.compare_digest(token.encode(), access.token.encode())]
    return equal[0] if equal else None

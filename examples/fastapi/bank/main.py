"""The application: `uvicorn bank.main:app`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException
from pydantic import BaseModel
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from bank import database
from bank.models import Account

Session = Annotated[AsyncSession, Depends(database.session)]


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Close the connections when the application ends."""
    yield
    await database.engine.dispose()


app = FastAPI(lifespan=lifespan)


class Opening(BaseModel):
    """Who opens an account, and with how much."""

    owner: str
    balance: int = 0


class Transfer(BaseModel):
    """From whom to whom, and how much."""

    payer: str
    payee: str
    amount: int


@app.post("/accounts", status_code=201)
async def open_account(opening: Opening, session: Session) -> dict[str, int]:
    """Open an account."""
    account = Account(owner=opening.owner, balance=opening.balance)
    session.add(account)
    await session.commit()
    return {"id": account.id}


@app.get("/accounts")
async def balances(session: Session) -> dict[str, int]:
    """All balances."""
    return {account.owner: account.balance for account in await session.scalars(select(Account))}


@app.post("/transfers", status_code=204)
async def transfer(order: Transfer, session: Session) -> None:
    """Move money. Who has not enough keeps it."""
    for owner, amount in ((order.payee, order.amount), (order.payer, -order.amount)):
        change = update(Account).where(Account.owner == owner).values(balance=Account.balance + amount)
        try:
            await session.execute(change)
        except IntegrityError as error:
            raise HTTPException(409, f"{owner} has not enough") from error
    await session.commit()

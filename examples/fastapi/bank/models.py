"""The tables."""

from sqlalchemy import BigInteger, CheckConstraint, Identity, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """What all tables have in common."""


class Account(Base):
    """An account, which is never overdrawn."""

    __tablename__ = "accounts"
    __table_args__ = (CheckConstraint("balance >= 0", name="never_overdrawn"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    owner: Mapped[str] = mapped_column(Text, unique=True)
    balance: Mapped[int] = mapped_column(BigInteger)

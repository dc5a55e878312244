"""The tables."""

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import BigInteger, Identity, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """What all tables have in common."""


db = SQLAlchemy(model_class=Base)


class Note(db.Model):
    """A note; no two have the same title."""

    __tablename__ = "notes"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    title: Mapped[str] = mapped_column(Text, unique=True)

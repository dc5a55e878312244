"""What the application answers."""

from flask import Blueprint, request
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from notes.models import Note, db

views = Blueprint("notes", __name__)


@views.post("/notes")
def add() -> tuple[dict[str, object], int]:
    """Add a note."""
    note = Note(title=request.get_json()["title"])
    db.session.add(note)
    try:
        db.session.commit()
    except IntegrityError:
        db.session.rollback()
        return {"error": "there is one of that title"}, 409
    return {"id": note.id}, 201


@views.get("/notes")
def titles() -> list[str]:
    """All titles, in the order in which they were written."""
    return list(db.session.scalars(select(Note.title).order_by(Note.id)))

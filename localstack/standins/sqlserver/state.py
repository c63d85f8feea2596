"""What T-SQL can ask about its session: user, database, counters, transaction."""

from dataclasses import dataclass, field

from standins.sqlserver.database import Database
from standins.sqlserver.transactions import Transactions


@dataclass(slots=True)
class SessionState:
    """What T-SQL can ask about the session."""

    store: Database
    spid: int
    user: str
    database: str
    host: str = ""
    application: str = ""
    row_count: int = 0
    last_error: int = 0
    last_identity: int | None = None
    identity_insert: int | None = None
    transactions: Transactions = field(init=False)

    @property
    def home_database(self) -> str:
        """The database that holds the tables."""
        return self.store.name

    @property
    def transaction_depth(self) -> int:
        """`@@trancount`."""
        return self.transactions.depth

    @property
    def transaction_state(self) -> int:
        """`xact_state()`."""
        return self.transactions.state

    def min_active_rowversion(self) -> int:
        """`min_active_rowversion()` as a number."""
        return self.store.min_active_rowversion()

    def last_rowversion(self) -> int:
        """`@@dbts` as a number."""
        return self.store.last_rowversion()

"""Every source by its kind. To add one: its settings and its reading function in a file here, and a line below."""

from __future__ import annotations

from pipelines.sources.account_days import AccountDaysSource
from pipelines.sources.arch import ArchSource
from pipelines.sources.base import SOURCES, SourceSettings, source_settings
from pipelines.sources.card_transactions import CardTransactionsSource
from pipelines.sources.files import CsvSource, ParquetSource
from pipelines.sources.insurance_claims import InsuranceClaimsSource
from pipelines.sources.loan_book import LoanBookSource
from pipelines.sources.openml import OpenmlSource
from pipelines.sources.replay import ReplaySource
from pipelines.sources.simulated import SimulatedSource
from pipelines.sources.sql import SqlSource
from pipelines.sources.statsmodels import StatsmodelsSource
from pipelines.sources.yahoo import YahooSource

__all__ = ["SOURCES", "SourceSettings", "source_settings"]

SOURCES.update(
    {
        "arch": ArchSource,
        "statsmodels": StatsmodelsSource,
        "yahoo": YahooSource,
        "simulated": SimulatedSource,
        "csv": CsvSource,
        "parquet": ParquetSource,
        "sql": SqlSource,
        "openml": OpenmlSource,
        "replay": ReplaySource,
        "card_transactions": CardTransactionsSource,
        "loan_book": LoanBookSource,
        "insurance_claims": InsuranceClaimsSource,
        "account_days": AccountDaysSource,
    }
)

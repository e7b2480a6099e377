"""Every source by its kind. To add one: a settings class with its `read()` in a file here, and a line below."""

from __future__ import annotations

from finflow.pipelines.sources.arch import ArchSource
from finflow.pipelines.sources.base import SOURCES, SourceSettings, source_settings
from finflow.pipelines.sources.files import CsvSource, ParquetSource
from finflow.pipelines.sources.openml import OpenmlSource
from finflow.pipelines.sources.replay import ReplaySource
from finflow.pipelines.sources.simulated.account_days import AccountDaysSource
from finflow.pipelines.sources.simulated.bars import SimulatedSource
from finflow.pipelines.sources.simulated.card_transactions import CardTransactionsSource
from finflow.pipelines.sources.simulated.insurance_claims import InsuranceClaimsSource
from finflow.pipelines.sources.simulated.loan_book import LoanBookSource
from finflow.pipelines.sources.sql import SqlSource
from finflow.pipelines.sources.statsmodels import StatsmodelsSource
from finflow.pipelines.sources.yahoo import YahooSource

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
